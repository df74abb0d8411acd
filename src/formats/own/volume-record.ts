import { NightlatchError } from "../../core/errors.ts";
import { type Json, type JsonObject, parseJson } from "../json/json.ts";
import { hasExactly, isBase64urlOf, isInteger, isList, isText } from "../json/narrow.ts";

/** Which volume it is that a machine opens: docs/format/bound.md. */
export interface VolumeRecord extends VolumeIdentity {
  /** The volume's UUID. */
  readonly volume: string;
  /** Names in crypttab under which it was opened. */
  readonly names: readonly string[];
  readonly latches: readonly BoundLatch[];
  readonly by: "person" | "first-use";
  readonly atMs: number;
}

/** What tells one volume from another. */
export interface VolumeIdentity {
  /** Identifies the volume key: 32 bytes, base64url. */
  readonly key: string;
  readonly cipher: string;
}

/** A latch that a volume is bound to. */
export interface BoundLatch {
  readonly url: string;
  /** Thumbprint of the server's identity; null where the machine does not know it. */
  readonly server: string | null;
}

/** The id of the latch at an address, base64url; null where it is none of a latch. */
export function latchIdIn(url: string): string | null {
  return /\/latch\/([\w-]{22})$/.exec(url)?.[1] ?? null;
}

/** A record has at most this. */
export const VOLUME_RECORD_BYTES = 16_384;
const VERSION = 1;
const NAME_COUNT = 16;
const LATCH_COUNT = 32;
const TEXT_LENGTH = 1024;
const MEMBERS = ["at", "by", "cipher", "key", "latches", "names", "version", "volume"];

/** Writes a record as the file in the state folder; of too many names or latches the last. */
export function formatVolumeRecord(record: VolumeRecord): Buffer {
  const { volume, key, cipher, names, latches, by, atMs } = record;
  const json = {
    version: VERSION,
    volume,
    key,
    cipher,
    names: names.slice(-NAME_COUNT),
    latches: latches.slice(-LATCH_COUNT).map(({ url, server }) => ({ url, server })),
    by,
    at: atMs,
  };
  return Buffer.from(`${JSON.stringify(json)}\n`);
}

/**
 * Reads a record.
 * @throws NightlatchError machine/bad-state; the caller says which file it was
 */
export function parseVolumeRecord(bytes: Uint8Array): VolumeRecord {
  const json = parseMembers(bytes);
  const { volume, key, cipher, names, latches, by, at } = json;
  if (json["version"] !== VERSION) throw damaged("is of a version that is not known here");
  if (!isText(volume, TEXT_LENGTH) || !isText(cipher, TEXT_LENGTH)) throw damaged("names no volume");
  if (!isBase64urlOf(key, 32)) throw damaged("holds no key's identity");
  if (by !== "person" && by !== "first-use") throw damaged("does not say who made it");
  if (!isInteger(at, 0, Number.MAX_SAFE_INTEGER)) throw damaged("does not say when it was made");
  if (!isList(names, NAME_COUNT) || !names.every((name) => isText(name, TEXT_LENGTH)))
    throw damaged("holds no list of names");
  if (!isList(latches, LATCH_COUNT)) throw damaged("holds no list of latches");
  return { volume, key, cipher, names, latches: latches.map(readLatch), by, atMs: at };
}

function parseMembers(bytes: Uint8Array): JsonObject {
  try {
    const json = parseJson(bytes, "the record", { lengthBytes: VOLUME_RECORD_BYTES, depth: 4 });
    if (hasExactly(json, MEMBERS)) return json;
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
  }
  throw damaged("is damaged");
}

function readLatch(json: Json): BoundLatch {
  if (!hasExactly(json, ["server", "url"])) throw damaged("holds no latch");
  const { url, server } = json;
  if (!isText(url, TEXT_LENGTH)) throw damaged("holds no address of a latch");
  if (server !== null && !isBase64urlOf(server, 32)) throw damaged("holds no identity of a server");
  return { url, server };
}

function damaged(what: string): NightlatchError {
  return new NightlatchError("machine/bad-state", what);
}
