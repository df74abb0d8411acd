// @ts-nocheck
import { toBase64url } from "../../../core/bytes.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { type Json, type JsonObject, parseJson } from "../../../formats/json/json.ts";
import { isBase64urlOf } from "../../../formats/json/narrow.ts";
import { HASH_BYTES } from "../../../formats/log/merkle.ts";
import type { System } from "../../../system/port.ts";

/**
 * What tells a store that was lost from one that never was, and the latest one from an older copy.
 * It lies beside the data folder, where it outlives a mount that failed, a folder that was emptied
 * and one that was put back from a backup. docs/format/store.md
 */
export interface StoreRecord {
  readonly store: string;
  /** `creating` until the store exists: nothing was enrolled before. */
  readonly state: "creating" | "ready";
  /**
   * How far the log had come when this was written: the store has come as far, or further. Null in
   * a record that says nothing of it.
   */
  readonly reached: Reached | null;
}

/** A place in the log that the store must hold or have grown from. */
export interface Reached {
  /** How many entries there were. */
  readonly size: number;
  /** The tree's root over them. */
  readonly root: Buffer;
}

/** Where the record may lie. */
interface RecordPaths {
  readonly beside: string;
  /** Only where nothing can be written at `beside`. */
  readonly inside: string;
}

const STORE_ID_BYTES = 16;
const MAX_RECORD_BYTES = 1024;
/** The name of a record that lies inside the data folder. */
export const INSIDE_NAME = "store.id";

/** Where the record of a folder may lie. */
export function recordPaths(folder: string): RecordPaths {
  return { beside: `${folder}.id`, inside: `${folder}/${INSIDE_NAME}` };
}

/**
 * Reads the record. Gives it and where it lies; null where there is none.
 * @throws NightlatchError store/damaged, file/*
 */
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

/** The record that a first start begins with: an id drawn for a store that is not there yet. */
export function newRecord(system: Pick<System, "random">): StoreRecord {
  return { store: toBase64url(system.random(STORE_ID_BYTES)), state: "creating", reached: null };
}

/** Where the record of one folder lies, and what writes it. */
export class RecordFile {
  readonly #system: Pick<System, "writeFile" | "stat">;
  readonly #folder: string;
  #path: string;

  /** @param path where the record lies, or would */
  constructor(system: Pick<System, "writeFile" | "stat">, folder: string, path: string) {
    this.#system = system;
    this.#folder = folder;
    this.#path = path;
  }

  /** Where the record lies, or would while there is none. */
  get path(): string {
    return this.#path;
  }

  /**
   * Writes the record; it is durable when this returns. It goes inside the folder only where there
   * is none beside it: one that is there already would stay behind, and the next start would hold
   * the store to that one.
   * @throws NightlatchError file/*
   */
  async write({ store, state, reached }: StoreRecord): Promise<void> {
    const { beside, inside } = recordPaths(this.#folder);
    const place = reached === null ? {} : { size: reached.size, root: reached.root.toString("base64") };
    const bytes = Buffer.from(`${JSON.stringify({ store, state, ...place })}\n`);
    try {
      await this.#system.writeFile(beside, bytes, 0o600);
      this.#path = beside;
      return;
    } catch (error) {
      if (!isError(error, "file/denied") || (await this.#system.stat(beside)) !== null) throw error;
    }
    await this.#system.writeFile(inside, bytes, 0o600);
    this.#path = inside;
  }
}

/** Says why a record inside the folder is the second best. Null for one beside it. */
export function warnOfRecord(folder: string, path: string): string | null {
  const { beside, inside } = recordPaths(folder);
  if (path !== inside) return null;
  return (
    `The store's record lies inside the data folder, because ${beside} could not be written. Should the folder ever turn up empty ` +
    "(a mount that failed), a new store will be made without a word; should it be put back from an older copy, what was revoked " +
    "since will be released again without a word."
  );
}

function parseRecord(bytes: Uint8Array, path: string): StoreRecord {
  try {
    const json = parseJson(bytes, path, { lengthBytes: MAX_RECORD_BYTES, depth: 1 }) as JsonObject | null;
    const { store, state, size, root } = { ...json };
    const reached = size === undefined && root === undefined ? null : parseReached(size, root);
    if (isBase64urlOf(store, STORE_ID_BYTES) && (state === "creating" || state === "ready")) {
      return { store, state, reached };
    }
  } catch {
    // told below
  }
  throw new NightlatchError("store/damaged", `${path} is not a store's record`, {
    meaning: "It tells which store this server has. Nothing was started.",
    remedy: `Restore the file from a backup; or remove it, if the data folder beside it holds the right store.`,
  });
}

/** @throws Error where these are no place in a log */
function parseReached(size: Json | undefined, root: Json | undefined): Reached {
  const bytes = Buffer.from(String(root), "base64");
  if (Number.isSafeInteger(size) && bytes.length === HASH_BYTES && bytes.toString("base64") === root) {
    return { size: Number(size), root: bytes };
  }
  throw new RangeError("no place in a log");
}
