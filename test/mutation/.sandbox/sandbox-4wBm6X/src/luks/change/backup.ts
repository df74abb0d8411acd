// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { runCryptsetup, type Volume } from "../cryptsetup/cryptsetup.ts";
import { readVolumeHeader, type VolumeHeader } from "../header/header.ts";
import { findSlot, listSlots } from "../header/slots.ts";
import type { ChangePower } from "./ledger.ts";

/** Lists the backups of this volume's header in the state folder, oldest first. */
export async function listBackups(
  system: Pick<ChangePower, "listDirectory">,
  stateFolder: string,
  uuid: string,
): Promise<readonly string[]> {
  const names = await system.listDirectory(stateFolder);
  const numbers = names.flatMap((name) => {
    const found = /^header-(.+)\.(\d{1,6})\.backup$/.exec(name);
    return found !== null && found[1] === uuid ? [Number(found[2])] : [];
  });
  return numbers.sort((a, b) => a - b).map((number) => backupPath(stateFolder, uuid, number));
}

/** Gives the path of a backup that does not exist yet. */
export async function nextBackupPath(
  system: Pick<ChangePower, "listDirectory">,
  stateFolder: string,
  uuid: string,
): Promise<string> {
  const newest = (await listBackups(system, stateFolder, uuid)).at(-1);
  const number = newest === undefined ? 1 : Number(/\.(\d+)\.backup$/.exec(newest)?.[1]) + 1;
  return backupPath(stateFolder, uuid, number);
}

function backupPath(stateFolder: string, uuid: string, number: number): string {
  return `${stateFolder}/header-${uuid}.${number}.backup`;
}

/**
 * Writes a backup that `cryptsetup luksHeaderRestore` takes, and syncs it. cryptsetup makes the
 * file 0400 and refuses one that exists.
 * @throws NightlatchError as runCryptsetup, file/io
 */
export async function backUpHeader(
  system: Pick<ChangePower, "run" | "removeFile">,
  volume: Volume,
  path: string,
): Promise<void> {
  await runCryptsetup(system, volume, ["luksHeaderBackup", "-q", "--header-backup-file", path, volume.device]);
  const synced = await system.run({ argv: ["sync", path], timeoutMs: 60_000 });
  if (synced.status !== 0) {
    await system.removeFile(path);
    throw new NightlatchError("file/io", `${path} could not be written`, { meaning: "Nothing was changed." });
  }
}

/**
 * Lists the keyslots of the backup that the device does not hold byte for byte, apart from those in
 * `except`; null where the backup was cut short while it was written.
 */
export async function compareWithBackup(
  system: Pick<ChangePower, "readAt" | "stat">,
  device: string,
  path: string,
  except: ReadonlySet<number>,
): Promise<readonly number[] | null> {
  const backup = await readBackup(system, path);
  if (backup === null) return null;
  const now = await readVolumeHeader(system, device);
  const changed: number[] = [];
  for (const slot of listSlots(backup)) {
    if (except.has(slot.number)) continue;
    const there = findSlot(now, slot.number);
    const same = there !== undefined && JSON.stringify(there) === JSON.stringify(slot);
    if (!same || !(await isSameArea(system, device, path, slot.area))) changed.push(slot.number);
  }
  return changed;
}

async function isSameArea(
  system: Pick<ChangePower, "readAt">,
  device: string,
  path: string,
  area: { readonly offsetBytes: number; readonly lengthBytes: number },
): Promise<boolean> {
  const [now, before] = await Promise.all([
    system.readAt(device, area.offsetBytes, area.lengthBytes),
    system.readAt(path, area.offsetBytes, area.lengthBytes),
  ]);
  return now.equals(before);
}

/**
 * Reads a backup, which is the volume's beginning, verbatim, to the end of the area that keyslots
 * can lie in. null where it was cut short.
 */
async function readBackup(system: Pick<ChangePower, "readAt" | "stat">, path: string): Promise<VolumeHeader | null> {
  try {
    const header = await readVolumeHeader(system, path);
    const facts = await system.stat(path);
    return facts !== null && facts.sizeBytes >= endOfKeyslots(header) ? header : null;
  } catch (error) {
    if (isError(error, "luks/none") || isError(error, "luks/damaged") || isError(error, "file/missing")) return null;
    throw error;
  }
}

function endOfKeyslots(header: VolumeHeader): number {
  if (header.version === 2) return 2 * header.sizeBytes + header.keyslotsAreaBytes;
  return Math.max(...header.keyslots.map((slot) => slot.areaOffsetBytes + slot.areaLengthBytes));
}
