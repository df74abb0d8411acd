// @ts-nocheck
import { isJsonObject, type JsonObject, parseJson } from "../formats/json/json.ts";
import { type DisposableRecord, formatDisposable, parseDisposable } from "../formats/own/disposable.ts";
import type { System } from "../system/port.ts";
import type { Volume } from "./cryptsetup/cryptsetup.ts";
import { findFreeTokens, importToken, removeToken } from "./cryptsetup/tokens.ts";
import type { VolumeHeader } from "./header/header.ts";

/** What it takes to keep records of disposable keys. */
export type DisposablePower = Pick<
  System,
  "run" | "readAt" | "readFileIfPresent" | "writeFile" | "removeFile" | "makeDirectory"
>;

/** A record, and how to name it when it is to go: a token's number, or null for LUKS1's file. */
export interface HeldRecord {
  readonly id: number | null;
  readonly record: DisposableRecord;
}

const FILE_LIMIT_BYTES = 4096;
const fileOf = (stateFolder: string, uuid: string): string => `${stateFolder}/disposable-${uuid}.json`;

/**
 * Lists the records of disposable keys on a volume.
 * @throws NightlatchError disposable/malformed, file/*, json/*
 */
export async function listRecords(
  system: Pick<System, "readFileIfPresent">,
  stateFolder: string,
  header: VolumeHeader,
): Promise<HeldRecord[]> {
  const found: [number | null, JsonObject][] = header.version === 2 ? [...header.tokens] : [];
  if (header.version === 1) {
    const json = await readRecordFile(system, fileOf(stateFolder, header.uuid));
    if (json !== null) found.push([null, json]);
  }
  return found.flatMap(([id, json]) => {
    const record = parseDisposable(json);
    return record === null ? [] : [{ id, record }];
  });
}

async function readRecordFile(system: Pick<System, "readFileIfPresent">, path: string): Promise<JsonObject | null> {
  const bytes = await system.readFileIfPresent(path, FILE_LIMIT_BYTES);
  if (bytes === null) return null;
  const json = parseJson(bytes, path, { lengthBytes: FILE_LIMIT_BYTES });
  return isJsonObject(json) ? json : {};
}

/**
 * Adds a record. It is durable when it returns.
 * @throws NightlatchError luks/refused where the header has no room for a token
 */
export async function addRecord(
  system: DisposablePower,
  stateFolder: string,
  volume: Volume,
  header: VolumeHeader,
  record: DisposableRecord,
): Promise<HeldRecord> {
  const json = formatDisposable(record);
  if (header.version === 1) {
    await system.makeDirectory(stateFolder, 0o700);
    await system.writeFile(fileOf(stateFolder, header.uuid), Buffer.from(JSON.stringify(json)), 0o600);
    return { id: null, record };
  }
  // Where all numbers are taken cryptsetup refuses, and says so.
  const id = findFreeTokens(header, 1)[0] ?? 31;
  await importToken(system, volume, id, json);
  return { id, record };
}

/**
 * Removes a record.
 * @throws NightlatchError as runCryptsetup, file/*
 */
export async function removeRecord(
  system: DisposablePower,
  stateFolder: string,
  volume: Volume,
  header: VolumeHeader,
  held: HeldRecord,
): Promise<void> {
  if (held.id === null) await system.removeFile(fileOf(stateFolder, header.uuid));
  else await removeToken(system, volume, held.id);
}
