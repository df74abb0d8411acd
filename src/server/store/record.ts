import { NightlatchError } from "../../core/errors.ts";
import { isBase64urlOf } from "../../formats/invite.ts";
import { type JsonObject, parseJson } from "../../formats/json.ts";
import type { System } from "../../system/port.ts";

/**
 * What tells a store that was lost from one that never was: lies beside the data folder, where it outlives a mount that failed
 * and a folder that was emptied.
 */
export interface StoreRecord {
  readonly store: string;
  /** `creating` until the store exists: nothing was enrolled before. */
  readonly state: "creating" | "ready";
}

export interface RecordPaths {
  readonly beside: string;
  /** Only where `beside` cannot be written. */
  readonly inside: string;
}

export const STORE_ID_BYTES = 16;
const MAX_RECORD_BYTES = 1024;
const INSIDE_NAME = "store.id";

export function recordPaths(folder: string): RecordPaths {
  return { beside: `${folder}.id`, inside: `${folder}/${INSIDE_NAME}` };
}

/** The record and where it lies; null where there is none. @throws NightlatchError store/damaged, file/* */
export async function readRecord(
  system: Pick<System, "readFile" | "stat">,
  folder: string,
): Promise<{ readonly path: string; readonly record: StoreRecord } | null> {
  const { beside, inside } = recordPaths(folder);
  for (const path of [beside, inside]) {
    if ((await system.stat(path)) === null) continue;
    return { path, record: parseRecord(await system.readFile(path, MAX_RECORD_BYTES), path) };
  }
  return null;
}

/**
 * Durable when it returns.
 * @returns a warning, where it had to go inside the folder
 */
export async function writeRecord(
  system: Pick<System, "writeFile">,
  folder: string,
  record: StoreRecord,
): Promise<string | null> {
  const { beside, inside } = recordPaths(folder);
  const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
  try {
    await system.writeFile(beside, bytes, 0o600);
    return null;
  } catch (error) {
    if (!(error instanceof NightlatchError) || error.code !== "file/denied") throw error;
  }
  await system.writeFile(inside, bytes, 0o600);
  return `${beside} cannot be written, so the store's id lies inside the data folder: should the folder ever turn up empty (a mount that failed), that will not be noticed.`;
}

function parseRecord(bytes: Uint8Array, path: string): StoreRecord {
  try {
    const json = parseJson(bytes, path, { lengthBytes: MAX_RECORD_BYTES, depth: 1 }) as JsonObject | null;
    const { store, state } = { ...json };
    if (
      typeof store === "string" &&
      isBase64urlOf(store, STORE_ID_BYTES) &&
      (state === "creating" || state === "ready")
    ) {
      return { store, state };
    }
  } catch {
    // told below
  }
  throw new NightlatchError("store/damaged", `${path} is not a store's record`, {
    meaning: "It tells which store this server has. Nothing was started.",
    remedy: `Restore the file from a backup; or remove it, if the data folder beside it holds the right store.`,
  });
}
