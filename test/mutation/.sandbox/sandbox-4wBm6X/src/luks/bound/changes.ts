// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { BoundLatch, VolumeIdentity, VolumeRecord } from "../../formats/own/volume-record.ts";
import type { System } from "../../system/port.ts";
import type { VolumeHeader } from "../header/header.ts";
import { identityOf, isSlotOfData } from "../header/identity.ts";
import { judgeIdentity, type Verdict } from "./bound.ts";
import {
  isUsableUuid,
  listVolumeRecords,
  type RecordPower,
  readVolumeRecord,
  removeVolumeRecord,
  writeVolumeRecord,
} from "./records.ts";

const LOCK_MS = 10_000;

/** What it takes to change what is on record of a volume. */
export type BoundPower = RecordPower & Pick<System, "writeFile" | "removeFile" | "nowMs">;

/** A volume, and the keyslot that a person's passphrase has opened. */
interface Proved {
  readonly device: string;
  readonly header: VolumeHeader;
  readonly openedBy: number;
}

/**
 * Puts on record the volume that a person has just proved a passphrase of. What was on record of
 * the same volume stays, unless its key is another one now. The caller holds the state folder's
 * lock.
 * @param latches how they change
 * @returns what was on record before of another key; null where nothing was, or the same
 * @throws NightlatchError luks/unsupported, luks/not-proved, file/*
 */
export async function recordByPerson(
  system: BoundPower,
  stateFolder: string,
  { device, header, openedBy }: Proved,
  latches: (former: readonly BoundLatch[]) => readonly BoundLatch[] = (former) => former,
): Promise<VolumeRecord | null> {
  const identity = identityOf(header);
  if (identity === null || !isUsableUuid(header.uuid)) {
    throw new NightlatchError("luks/unsupported", `${device} has no single volume key for all of its data`, {
      meaning: "It cannot be told from another volume. Nothing was changed.",
      remedy: `Complete a reencryption that is under way: cryptsetup reencrypt --resume-only ${device}`,
    });
  }
  if (!isSlotOfData(header, openedBy)) {
    throw new NightlatchError(
      "luks/not-proved",
      `${device}: the passphrase opens keyslot ${openedBy}, whose key is not that of the data`,
      {
        meaning: "Somebody may have put data of his own behind your keyslot. Nothing was changed.",
        remedy: "Do not use the volume until you know how this came about; compare its header with a backup of it.",
      },
    );
  }
  // A record that cannot be read is replaced by one that can.
  const former = await readVolumeRecord(system, stateFolder, header.uuid).catch((error: unknown) => {
    if (isError(error, "machine/bad-state")) return null;
    throw error;
  });
  const isSame = former?.key === identity.key && former.cipher === identity.cipher;
  const record = {
    ...identity,
    volume: header.uuid,
    names: former?.names ?? [],
    latches: latches(isSame && former !== null ? former.latches : []),
    by: "person" as const,
    atMs: system.nowMs(),
  };
  await writeVolumeRecord(system, stateFolder, record);
  return isSame ? null : former;
}

/**
 * Takes latches out of a volume's record; where nothing is bound any more, the record goes. The
 * caller holds the state folder's lock.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function recordUnbound(
  system: BoundPower,
  stateFolder: string,
  uuid: string,
  left: { readonly urls: readonly string[]; readonly isBound: boolean },
): Promise<void> {
  const record = await readVolumeRecord(system, stateFolder, uuid);
  if (record === null) return;
  if (!left.isBound) return removeVolumeRecord(system, stateFolder, uuid);
  const latches = record.latches.filter(({ url }) => left.urls.includes(url));
  if (latches.length < record.latches.length) await writeVolumeRecord(system, stateFolder, { ...record, latches });
}

/** What the agent has just sent a key of. */
export interface Use {
  readonly uuid: string;
  readonly identity: VolumeIdentity;
  readonly name: string;
}

/** Tells whether a use leaves anything to put on record. */
export function isNewUse(verdict: Verdict, name: string): boolean {
  return verdict.kind !== "bound" || !verdict.record.names.includes(name);
}

/**
 * Gives what is to be recorded of a use; null where the header does not tell one volume from
 * another, or its UUID cannot be part of a path.
 */
export function useOf(header: VolumeHeader, name: string): Use | null {
  const identity = identityOf(header);
  return identity === null || !isUsableUuid(header.uuid) ? null : { uuid: header.uuid, identity, name };
}

/**
 * Puts a use on record. There may be a record by now that was not there when the volume was judged,
 * since its file system had not been mounted yet: then that one stands.
 * @returns the verdict by the record as it is now
 * @throws NightlatchError system/busy, machine/bad-state, file/*
 */
export async function recordUse(
  system: BoundPower & Pick<System, "lock">,
  stateFolder: string,
  { uuid, identity, name }: Use,
): Promise<Verdict> {
  await using _ = await system.lock(`${stateFolder}/lock`, LOCK_MS);
  const present = await readVolumeRecord(system, stateFolder, uuid);
  const verdict: Verdict = present === null ? { kind: "first-use" } : judgeIdentity(present, identity);
  if (verdict.kind === "other" || (present?.names.includes(name) ?? false)) return verdict;
  const first = { ...identity, volume: uuid, latches: [], by: "first-use" as const, atMs: system.nowMs() };
  const names = [...(present?.names ?? []), name];
  await writeVolumeRecord(system, stateFolder, { ...(present ?? first), names });
  for (const other of await listVolumeRecords(system, stateFolder)) {
    if (other.volume === uuid || !other.names.includes(name)) continue;
    await writeVolumeRecord(system, stateFolder, { ...other, names: other.names.filter((one) => one !== name) });
  }
  return verdict;
}
