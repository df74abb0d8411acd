// @ts-nocheck
import { createHash } from "node:crypto";
import type { FileStep } from "../boot/initramfs/mending.ts";
import { NightlatchError } from "../core/errors.ts";
import {
  BEFORE_BYTES,
  formatSetupRecord,
  parseSetupRecord,
  SETUP_RECORD_BYTES,
  type SetupRecord,
  type WrittenFile,
} from "../formats/own/initramfs-setup.ts";
import type { System } from "../system/port.ts";

/** What it takes to write files and to take them back. */
export type FilesPower = Pick<System, "readFileIfPresent" | "stat" | "writeFile" | "removeFile">;

const recordPath = (stateFolder: string): string => `${stateFolder}/initramfs-setup.json`;

/**
 * Reads the record of what was written for the initramfs. Null where nothing was.
 * @throws NightlatchError machine/bad-state, json/*, file/*
 */
async function readSetupRecord(
  system: Pick<System, "readFileIfPresent">,
  stateFolder: string,
): Promise<SetupRecord | null> {
  const bytes = await system.readFileIfPresent(recordPath(stateFolder), SETUP_RECORD_BYTES);
  return bytes === null ? null : parseSetupRecord(bytes);
}

/**
 * Writes the files of a plan, each whole or not at all. What stands in their places goes on record
 * first, so that it can be restored whenever the power goes. Doing it twice changes nothing. The
 * caller holds the state folder's lock.
 * @param uuid of the volume that needs them
 * @returns what has to be undone to be where it began
 * @throws NightlatchError machine/bad-state, json/*, file/*, setup/unsupported
 */
export async function writeSetupFiles(
  system: FilesPower,
  stateFolder: string,
  uuid: string,
  files: readonly FileStep[],
): Promise<SetupRecord> {
  const earlier = await readSetupRecord(system, stateFolder);
  const added = await Promise.all(files.map((file) => recordOf(system, file, earlier?.files ?? [])));
  const paths = new Set(files.map(({ path }) => path));
  const record: SetupRecord = {
    volumes: [...new Set([...(earlier?.volumes ?? []), uuid])],
    files: [...(earlier?.files ?? []).filter(({ path }) => !paths.has(path)), ...added],
  };
  await system.writeFile(recordPath(stateFolder), formatSetupRecord(record), 0o600);
  for (const { path, text, mode } of files) await system.writeFile(path, Buffer.from(text), mode);
  return record;
}

/** What stood there before the first of our writes is what is kept, however often we write. */
async function recordOf(
  system: FilesPower,
  { path, text }: FileStep,
  earlier: readonly WrittenFile[],
): Promise<WrittenFile> {
  const written = digestOf(Buffer.from(text));
  const stat = await system.stat(path);
  if (stat !== null && (stat.kind !== "file" || stat.sizeBytes > BEFORE_BYTES)) {
    throw new NightlatchError("setup/unsupported", `${path} is there, and is no configuration file`, {
      meaning: "The initramfs was not changed.",
      remedy: "Move it away.",
    });
  }
  const content = await system.readFileIfPresent(path, BEFORE_BYTES);
  const own = earlier.find((file) => file.path === path);
  if (own !== undefined && (content === null || digestOf(content) === own.written)) return { ...own, written };
  if (content === null || stat === null) return { path, written, before: null };
  return { path, written, before: { mode: stat.mode, content } };
}

/** What became of the files when a set-up was taken back. */
interface Restored {
  /** They are as they were before. */
  readonly restored: readonly string[];
  /** Somebody has changed them since; they stay. */
  readonly kept: readonly string[];
}

/**
 * Takes the files back: each that is still as we wrote it is what it was before. The record goes
 * last, so that a power cut leaves nothing that nobody knows of. The caller holds the state
 * folder's lock.
 * @throws NightlatchError file/*
 */
export async function restoreSetupFiles(
  system: FilesPower,
  stateFolder: string,
  { files }: SetupRecord,
): Promise<Restored> {
  const restored: string[] = [];
  const kept: string[] = [];
  for (const { path, written, before } of files) {
    const content = await readIfSmall(system, path);
    if (content !== null && digestOf(content) !== written) {
      if (before === null || !before.content.equals(content)) kept.push(path);
      continue;
    }
    if (content === null) continue;
    if (before === null) await system.removeFile(path);
    else await system.writeFile(path, before.content, before.mode);
    restored.push(path);
  }
  await system.removeFile(recordPath(stateFolder));
  return { restored, kept };
}

/** Null where nothing is; what is larger than ours ever is reads as something else. */
async function readIfSmall(system: FilesPower, path: string): Promise<Buffer | null> {
  const stat = await system.stat(path);
  if (stat === null) return null;
  if (stat.kind !== "file" || stat.sizeBytes > BEFORE_BYTES) return Buffer.from("larger");
  return system.readFileIfPresent(path, BEFORE_BYTES);
}

/**
 * Takes the set-up back where a volume was the last that needs it, and takes the volume off the
 * record where it was not. Null where nothing was taken back. The caller holds the state folder's
 * lock.
 * @throws NightlatchError machine/bad-state, json/*, file/*
 */
export async function releaseSetup(system: FilesPower, stateFolder: string, uuid: string): Promise<Restored | null> {
  const record = await readSetupRecord(system, stateFolder);
  if (record === null || !record.volumes.includes(uuid)) return null;
  const volumes = record.volumes.filter((other) => other !== uuid);
  if (volumes.length === 0) return await restoreSetupFiles(system, stateFolder, record);
  await system.writeFile(recordPath(stateFolder), formatSetupRecord({ ...record, volumes }), 0o600);
  return null;
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64url");
