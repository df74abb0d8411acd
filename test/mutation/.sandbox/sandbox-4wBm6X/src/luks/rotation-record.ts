// @ts-nocheck
import { isError, NightlatchError } from "../core/errors.ts";
import {
  formatRotationRecord,
  parseRotationRecord,
  ROTATION_RECORD_BYTES,
  type RotationPair,
  type RotationRecord,
} from "../formats/own/rotation-record.ts";
import type { System } from "../system/port.ts";
import { type HeldToken, listTokens } from "./header/bindings.ts";
import type { VolumeHeader } from "./header/header.ts";

/** A pair that the header shows both of. */
export interface HeldPair {
  readonly former: HeldToken;
  readonly next: HeldToken;
}

/**
 * Reads what is on record of a volume's rotations; null where nothing is. A record that cannot be
 * read says nothing: no keyslot goes for it.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function readRotation(
  system: Pick<System, "readFileIfPresent">,
  stateFolder: string,
  uuid: string,
): Promise<RotationRecord | null> {
  const path = pathOf(stateFolder, uuid);
  try {
    const bytes = await system.readFileIfPresent(path, ROTATION_RECORD_BYTES);
    return bytes === null ? null : parseRotationRecord(bytes);
  } catch (error) {
    if (!isError(error, "machine/bad-state") && !isError(error, "file/too-large")) throw error;
    throw new NightlatchError("machine/bad-state", `${path} is damaged`, {
      meaning: "Former bindings stay beside the new ones, and the volume opens by both.",
      remedy: "Remove the file, and the former bindings by hand: nightlatch unbind DEV --slot N",
    });
  }
}

/**
 * Puts a pair on record, durably: before the new binding is in the header, so that no cut leaves
 * two of which nothing is known.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function recordPair(
  system: Pick<System, "readFileIfPresent" | "writeFile">,
  stateFolder: string,
  uuid: string,
  { boot, pair }: { readonly boot: string; readonly pair: RotationPair },
): Promise<void> {
  const present = await readRotation(system, stateFolder, uuid);
  const others = present?.pairs.filter(({ former }) => former !== pair.former) ?? [];
  const record = formatRotationRecord({ boot, pairs: [...others, pair] });
  await system.writeFile(pathOf(stateFolder, uuid), record, 0o600);
}

/**
 * Forgets the pairs of which the header does not show both: one of the two is gone, or never came.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function tidyRotation(
  system: Pick<System, "readFileIfPresent" | "writeFile" | "removeFile">,
  stateFolder: string,
  header: VolumeHeader,
): Promise<void> {
  const record = await readRotation(system, stateFolder, header.uuid);
  if (record === null) return;
  const pairs = record.pairs.filter((pair) => pairIn(header, pair) !== null);
  if (pairs.length === record.pairs.length) return;
  const path = pathOf(stateFolder, header.uuid);
  if (pairs.length === 0) await system.removeFile(path);
  else await system.writeFile(path, formatRotationRecord({ ...record, pairs }), 0o600);
}

/** Lists the pairs of a record that the header shows both of. */
export function listPairs(header: VolumeHeader, record: RotationRecord | null): readonly HeldPair[] {
  return (record?.pairs ?? []).map((pair) => pairIn(header, pair)).filter((pair) => pair !== null);
}

function pairIn(header: VolumeHeader, pair: RotationPair): HeldPair | null {
  const tokens = listTokens(header).filter(({ keyslots }) => keyslots.length > 0);
  const former = tokens.find(({ digest }) => digest === pair.former);
  const next = tokens.find(({ digest }) => digest === pair.next);
  return former === undefined || next === undefined ? null : { former, next };
}

const pathOf = (stateFolder: string, uuid: string): string => `${stateFolder}/rotation-${uuid}.json`;
