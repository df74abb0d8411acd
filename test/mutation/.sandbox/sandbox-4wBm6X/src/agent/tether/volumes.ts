// @ts-nocheck
import { listBindings } from "../../bindings/binding.ts";
import { isError } from "../../core/errors.ts";
import { luksBeneath, luksBeneathDevice } from "../../host/block-devices.ts";
import { type LuksMapping, listLuksMappings } from "../../host/luks-mappings.ts";
import { readVolumeHeader } from "../../luks/header/header.ts";
import type { System } from "../../system/port.ts";

/** What it takes to find the volumes. */
export type FindPower = Pick<System, "run" | "readAt" | "listDirectory" | "readFileIfPresent">;

/**
 * What the system runs from: a process of it that waits for a suspended disk cannot be asked for
 * the passphrase, and what suspends could not even log.
 */
const SYSTEM_PATHS = ["/", "/usr", "/etc", "/var", "/var/log", "/var/lib"];
const FILE_BYTES = 4 << 20;

/** What a tether could do here. */
export interface TetherVolumes {
  /** Those that it suspends. */
  readonly data: readonly LuksMapping[];
  /** Those that it never suspends, since the system runs from them. */
  readonly system: readonly LuksMapping[];
}

/**
 * Finds what the tether suspends: open LUKS volumes that have a binding, or that `named` names, but
 * none that the system runs from or swaps to.
 * @throws NightlatchError system/*, boot/unsupported, json/*, file/*
 */
export async function findTetherVolumes(system: FindPower, named: readonly string[]): Promise<TetherVolumes> {
  const mappings = await listLuksMappings(system);
  if (mappings.length === 0) return { data: [], system: [] };
  const needed = await neededUuids(system);
  const data: LuksMapping[] = [];
  for (const mapping of mappings) {
    if (needed.has(mapping.uuid)) continue;
    if (named.includes(mapping.name) || (await isBound(system, mapping))) data.push(mapping);
  }
  return { data, system: mappings.filter(({ uuid }) => needed.has(uuid)) };
}

/**
 * All that the answer of `findTetherVolumes` follows from, as far as it changes while the system
 * runs, in one text.
 */
export async function volumesSignature(system: Pick<System, "listDirectory" | "readFileIfPresent">): Promise<string> {
  const [mounts, swaps] = await Promise.all(
    ["/proc/self/mountinfo", "/proc/swaps"].map((path) => system.readFileIfPresent(path, FILE_BYTES)),
  );
  return JSON.stringify([await listLuksMappings(system), String(mounts), String(swaps)]);
}

async function neededUuids(system: FindPower): Promise<Set<string>> {
  const uuids = new Set<string>();
  const add = (found: readonly string[]) => {
    for (const uuid of found) uuids.add(uuid.toLowerCase());
  };
  for (const path of SYSTEM_PATHS) add(await luksBeneath(system, path));
  const swaps = (await system.readFileIfPresent("/proc/swaps", FILE_BYTES))?.toString("utf8") ?? "";
  for (const [, place = ""] of swaps.matchAll(/^(\/\S+)\s+(?:partition|file)\s/gm)) {
    add(await (place.startsWith("/dev/") ? luksBeneathDevice(system, place) : luksBeneath(system, place)));
  }
  return uuids;
}

/** A header that cannot be read, or lies elsewhere, is that of no volume that a binding opens. */
async function isBound(system: Pick<System, "readAt">, { device }: LuksMapping): Promise<boolean> {
  if (device === null) return false;
  try {
    return listBindings(await readVolumeHeader(system, device)).length > 0;
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}
