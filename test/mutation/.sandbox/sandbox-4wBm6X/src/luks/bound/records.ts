// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import {
  formatVolumeRecord,
  parseVolumeRecord,
  VOLUME_RECORD_BYTES,
  type VolumeRecord,
} from "../../formats/own/volume-record.ts";
import type { System } from "../../system/port.ts";

/** What it takes to read records. */
export type RecordPower = Pick<System, "readFile" | "listDirectory">;

/** More volumes than a machine has. */
const RECORD_COUNT = 1024;

/**
 * Reads the record of a volume; null where there is none, or can be none: a UUID is the disk's own
 * word, and becomes part of a path.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function readVolumeRecord(
  system: Pick<System, "readFile">,
  stateFolder: string,
  uuid: string,
): Promise<VolumeRecord | null> {
  if (!isUsableUuid(uuid)) return null;
  const path = recordPath(stateFolder, uuid);
  try {
    const record = parseVolumeRecord(await system.readFile(path, VOLUME_RECORD_BYTES));
    if (record.volume === uuid) return record;
    throw new NightlatchError("machine/bad-state", "is the record of another volume");
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    if (isError(error, "file/too-large")) throw unreadable(path, "is too large");
    if (isError(error, "machine/bad-state")) throw unreadable(path, error.message);
    throw error;
  }
}

function unreadable(path: string, what: string): NightlatchError {
  return new NightlatchError("machine/bad-state", `${path} ${what}`, {
    meaning: "Which volume this machine had bound cannot be told. No binding is asked; its passphrase opens it.",
    remedy: `Restore the file from a backup. Or, if the volume is yours: nightlatch accept DEV`,
  });
}

/**
 * Lists the records of all volumes.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function listVolumeRecords(system: RecordPower, stateFolder: string): Promise<readonly VolumeRecord[]> {
  const uuids = (await system.listDirectory(stateFolder)).flatMap(
    (name) => /^volume-([0-9A-Za-z-]+)\.json$/.exec(name)?.[1] ?? [],
  );
  const records = await Promise.all(
    uuids.slice(0, RECORD_COUNT).map((uuid) => readVolumeRecord(system, stateFolder, uuid)),
  );
  return records.filter((record) => record !== null);
}

/**
 * Writes a record. It is durable when it returns, and all or nothing. The caller holds the state
 * folder's lock.
 * @throws NightlatchError file/*
 */
export function writeVolumeRecord(
  system: Pick<System, "writeFile">,
  stateFolder: string,
  record: VolumeRecord,
): Promise<void> {
  return system.writeFile(recordPath(stateFolder, record.volume), formatVolumeRecord(record), 0o600);
}

/**
 * Removes a record; one that is gone already is fine. The caller holds the state folder's lock.
 * @throws NightlatchError file/*
 */
export function removeVolumeRecord(
  system: Pick<System, "removeFile">,
  stateFolder: string,
  uuid: string,
): Promise<void> {
  return system.removeFile(recordPath(stateFolder, uuid));
}

function recordPath(stateFolder: string, uuid: string): string {
  return `${stateFolder}/volume-${uuid}.json`;
}

/** Tells whether a volume's UUID can be part of a path. */
export function isUsableUuid(uuid: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z-]{0,39}$/.test(uuid);
}
