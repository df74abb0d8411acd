// @ts-nocheck
import { clearKexecMemory, unloadKexec } from "../boot/kexec.ts";
import { disarmOneshot, type FoundOneshot, findOneshot } from "../boot/oneshot/oneshot.ts";
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { REBOOT_FOLDER } from "../core/places.ts";
import type { DisposableRecord } from "../formats/own/disposable.ts";
import { luksDevices } from "../host/block-devices.ts";
import { bootId } from "../host/boot-id.ts";
import { isGoingDown } from "../host/shutdown.ts";
import { listRecords } from "../luks/disposable-record.ts";
import { readVolumeHeader } from "../luks/header/header.ts";
import type { Lock, System } from "../system/port.ts";
import { unmarkStaged } from "./default-handler.ts";
import type { StagePower } from "./stage/carrier.ts";
import { lockHeaders, removeDisposables } from "./stage/disposable.ts";

interface FoundDisposable {
  readonly device: string;
  readonly record: DisposableRecord;
}

/** What a clean-up has done. */
export interface Cleaned {
  readonly removed: readonly FoundDisposable[];
  /** What was removed of a one-time boot: the choice in words, entries and files by their paths. */
  readonly disarmed: readonly string[];
  /** What could not be removed; the rest was. */
  readonly failures: readonly NightlatchError[];
}

/** Where the initramfs says which keys it handed over (boot/overlay/hand-over.ts). */
const HANDED_OVER = `${REBOOT_FOLDER}/handed-over`;
const KEY_FOLDER = "/run/cryptsetup-keys.d";

/**
 * What is staged now, on any volume. A volume that cannot be read has nothing that could be acted
 * on.
 */
export async function listDisposables(system: StagePower, stateFolder: string): Promise<FoundDisposable[]> {
  const found: FoundDisposable[] = [];
  for (const device of await luksDevices(system)) {
    try {
      const records = await listRecords(system, stateFolder, await readVolumeHeader(system, device));
      found.push(...records.map(({ record }) => ({ device, record })));
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
    }
  }
  return found;
}

/** A record of another boot, or one that has expired. */
function isStale(record: Pick<DisposableRecord, "boot" | "expires">, runningBootId: string, nowMs: number): boolean {
  return record.boot !== runningBootId || record.expires * 1000 <= nowMs;
}

/**
 * Removes disposable keys with their slots: the stale ones, and with `all` also what this boot has
 * staged. What would boot with the keys goes first, the loaded kernel and the one-time entry:
 * nothing may start a kernel whose keys open nothing.
 * @returns what was removed, and what could not be
 * @throws NightlatchError system/busy, kexec/failed, and what keeps all devices from being listed
 */
export async function cleanUp(
  system: StagePower & Pick<System, "nowMs">,
  stateFolder: string,
  all: boolean,
): Promise<Cleaned> {
  await using lock = await lockHeaders(system, stateFolder);
  return await cleanUpWith(system, stateFolder, lock, all);
}

/**
 * Cleans up all that is staged, unless the system is going down; null where it is. Whether it is
 * going down is asked once more when nobody can be staging: what a reboot that began meanwhile has
 * staged is left to it.
 */
export async function cleanUpCalledOff(
  system: StagePower & Pick<System, "nowMs">,
  stateFolder: string,
): Promise<Cleaned | null> {
  if (await isGoingDown(system)) return null;
  await using lock = await lockHeaders(system, stateFolder);
  return (await isGoingDown(system)) ? null : await cleanUpWith(system, stateFolder, lock, true);
}

/** The same as `cleanUp`, for a caller that holds the lock already. */
export async function cleanUpWith(
  system: StagePower & Pick<System, "nowMs">,
  stateFolder: string,
  lock: Lock,
  all: boolean,
): Promise<Cleaned> {
  const running = await bootId(system);
  const nowMs = system.nowMs();
  const found = await listDisposables(system, stateFolder);
  const chosen = found.filter(({ record }) => all || isStale(record, running, nowMs));
  if (all || chosen.some(({ record }) => record.boot === running)) {
    await unmarkStaged(system);
    await unloadKexec(system);
  }
  const oneshot = await cancelOneshot(system, (mark) => all || isStale(mark, running, nowMs));
  const failures = [...oneshot.failures];
  const removed: FoundDisposable[] = [];
  for (const device of new Set(chosen.map((one) => one.device))) {
    try {
      const records = await removeDisposables(
        system,
        { device, lock },
        stateFolder,
        (record) => all || isStale(record, running, nowMs),
      );
      removed.push(...records.map((record) => ({ device, record })));
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      failures.push(error);
    }
  }
  await clearKexecMemory(system);
  await eraseHandedOver(system);
  return { removed, disarmed: oneshot.removed, failures };
}

/**
 * What is whole and may stay stays; anything else that is found, half a one-time boot too, goes.
 * Its failures keep no slot from going.
 */
async function cancelOneshot(
  system: StagePower,
  mustGo: (mark: Pick<DisposableRecord, "boot" | "expires">) => boolean,
): Promise<{ readonly removed: readonly string[]; readonly failures: readonly NightlatchError[] }> {
  const found = await findOrUnclear(system);
  if (found === null) return { removed: [], failures: [] };
  if (found !== "unclear" && found.isArmed && found.mark !== null && !mustGo(found.mark))
    return { removed: [], failures: [] };
  return disarmOneshot(system);
}

/** What cannot be made out is cancelled as well as it can be, which tells why. */
async function findOrUnclear(system: StagePower): Promise<FoundOneshot | "unclear" | null> {
  try {
    return await findOneshot(system);
  } catch (error) {
    if (error instanceof NightlatchError) return "unclear";
    throw error;
  }
}

/** Keys that the initramfs left for systemd: every volume that had one is open by now, or asks. */
async function eraseHandedOver(system: StagePower): Promise<void> {
  for (const name of await readHandedOver(system)) {
    const path = `${KEY_FOLDER}/${name}`;
    await system.run({ argv: ["shred", "--iterations=0", "--zero", path], timeoutMs: SMALL_PROGRAM_MS });
    await system.removeFile(path);
  }
  await system.removeFile(HANDED_OVER);
}

async function readHandedOver(system: Pick<System, "readFileIfPresent">): Promise<string[]> {
  const text = (await system.readFileIfPresent(HANDED_OVER, 64 * 1024))?.toString("utf8") ?? "";
  return text.split("\n").filter((name) => name !== "" && !name.includes("/"));
}
