// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import type { Json, JsonObject } from "../json/json.ts";

/**
 * The JSON area of a LUKS2 header, as far as Nightlatch looks at it (LUKS2 On-Disk Format
 * Specification 1.1.1, section 3). Members that it does not know are none of its business and are
 * passed over, as the format asks of every reader.
 */
export interface Luks2Metadata {
  readonly keyslots: ReadonlyMap<number, Luks2Keyslot>;
  /** Each an object with a `type`; what else it holds is its type's business, and untrusted. */
  readonly tokens: ReadonlyMap<number, JsonObject>;
  readonly segments: ReadonlyMap<number, Luks2Segment>;
  readonly digests: ReadonlyMap<number, Luks2Digest>;
  /** What a reader must understand to change or open the volume, e.g. `online-reencrypt-v2`. */
  readonly requirements: readonly string[];
  /** Room for keyslot areas behind the two copies of the header. */
  readonly keyslotsAreaBytes: number;
}

/** A keyslot of LUKS2. */
export interface Luks2Keyslot {
  /** `luks2`, or `reencrypt` for a slot that holds no key. */
  readonly type: string;
  /** 2 is tried first, 1 is normal, 0 is tried only when named. */
  readonly priority: 0 | 1 | 2;
  readonly keyBytes: number;
  /** null for a slot that holds no key. */
  readonly kdf: Luks2Kdf | null;
  readonly area: { readonly offsetBytes: number; readonly lengthBytes: number; readonly encryption: string | null };
}

interface Luks2Kdf {
  /** `pbkdf2`, `argon2i`, `argon2id` */
  readonly type: string;
  /** PBKDF2: iterations. Argon2: passes. */
  readonly cost: number;
  readonly saltBase64: string;
}

interface Luks2Segment {
  /** `crypt`, or `linear` for a stretch that is not encrypted. */
  readonly type: string;
  readonly offsetBytes: number;
  readonly encryption: string | null;
  readonly integrity: string | null;
  /** Left over or prepared by a reencryption; takes no part in opening the volume. */
  readonly isBackup: boolean;
}

/** What proves that a key is the one of a segment. */
export interface Luks2Digest {
  /** `pbkdf2`; null, as the members below, where it is missing. */
  readonly type: string | null;
  /** `sha256` and such, as cryptsetup names it. */
  readonly hash: string | null;
  readonly iterations: number | null;
  readonly saltBase64: string | null;
  readonly digestBase64: string | null;
  readonly keyslots: readonly number[];
  readonly segments: readonly number[];
}

/** LUKS2 has room for 32 keyslots (LUKS2_KEYSLOTS_MAX in cryptsetup). */
export const LUKS2_KEYSLOTS = 32;
/** And for 32 tokens (LUKS2_TOKENS_MAX). */
export const LUKS2_TOKENS = 32;

/**
 * Reads the JSON area.
 * @throws NightlatchError luks/damaged
 */
export function readLuks2Metadata(json: Json): Luks2Metadata {
  const root = asObject(json, "the document");
  const config = asObject(root["config"], "config");
  const requirements = config["requirements"] === undefined ? {} : asObject(config["requirements"], "requirements");
  return {
    keyslots: readTable(root, "keyslots", LUKS2_KEYSLOTS, readKeyslot),
    tokens: readTable(root, "tokens", LUKS2_TOKENS, readToken),
    segments: readTable(root, "segments", Number.MAX_SAFE_INTEGER, readSegment),
    digests: readTable(root, "digests", Number.MAX_SAFE_INTEGER, readDigest),
    requirements: requirements["mandatory"] === undefined ? [] : asTexts(requirements["mandatory"], "requirements"),
    keyslotsAreaBytes: asSize(config["keyslots_size"], "config.keyslots_size"),
  };
}

function readKeyslot(slot: JsonObject, path: string): Luks2Keyslot {
  const area = asObject(slot["area"], `${path}.area`);
  const priority = slot["priority"] ?? 1;
  if (priority !== 0 && priority !== 1 && priority !== 2) throw wrong(`${path}.priority`);
  return {
    type: asText(slot["type"], `${path}.type`),
    priority,
    keyBytes: asCount(slot["key_size"], `${path}.key_size`),
    kdf: slot["kdf"] === undefined ? null : readKdf(asObject(slot["kdf"], `${path}.kdf`), `${path}.kdf`),
    area: {
      offsetBytes: asSize(area["offset"], `${path}.area.offset`),
      lengthBytes: asSize(area["size"], `${path}.area.size`),
      encryption: asTextOrNull(area["encryption"], `${path}.area.encryption`),
    },
  };
}

function readKdf(kdf: JsonObject, path: string): Luks2Kdf {
  const type = asText(kdf["type"], `${path}.type`);
  return {
    type,
    cost: asCount(type === "pbkdf2" ? kdf["iterations"] : kdf["time"], `${path}.cost`),
    saltBase64: asText(kdf["salt"], `${path}.salt`),
  };
}

function readToken(token: JsonObject, path: string): JsonObject {
  asText(token["type"], `${path}.type`);
  asNumbers(token["keyslots"], `${path}.keyslots`);
  return token;
}

function readSegment(segment: JsonObject, path: string): Luks2Segment {
  const flags = segment["flags"] === undefined ? [] : asTexts(segment["flags"], `${path}.flags`);
  const integrity = segment["integrity"] === undefined ? null : asObject(segment["integrity"], `${path}.integrity`);
  return {
    type: asText(segment["type"], `${path}.type`),
    offsetBytes: asSize(segment["offset"], `${path}.offset`),
    encryption: asTextOrNull(segment["encryption"], `${path}.encryption`),
    integrity: integrity === null ? null : asText(integrity["type"], `${path}.integrity.type`),
    isBackup: flags.some((flag) => flag.startsWith("backup-")),
  };
}

function readDigest(digest: JsonObject, path: string): Luks2Digest {
  const iterations = digest["iterations"];
  return {
    type: asTextOrNull(digest["type"], `${path}.type`),
    hash: asTextOrNull(digest["hash"], `${path}.hash`),
    iterations: iterations === undefined ? null : asCount(iterations, `${path}.iterations`),
    saltBase64: asTextOrNull(digest["salt"], `${path}.salt`),
    digestBase64: asTextOrNull(digest["digest"], `${path}.digest`),
    keyslots: asNumbers(digest["keyslots"], `${path}.keyslots`),
    segments: asNumbers(digest["segments"], `${path}.segments`),
  };
}

/** Reads an object whose member names are the numbers of what they hold. */
function readTable<T>(root: JsonObject, name: string, limit: number, read: (entry: JsonObject, path: string) => T) {
  const table = new Map<number, T>();
  for (const [key, entry] of Object.entries(asObject(root[name], name))) {
    const path = `${name}.${key.slice(0, 20)}`;
    const number = asNumber(key, path);
    if (number >= limit) throw wrong(path);
    table.set(number, read(asObject(entry, path), path));
  }
  return table as ReadonlyMap<number, T>;
}

function asObject(json: Json | undefined, path: string): JsonObject {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong(path);
  return json;
}

function asText(json: Json | undefined, path: string): string {
  if (typeof json !== "string") throw wrong(path);
  return json;
}

function asTextOrNull(json: Json | undefined, path: string): string | null {
  return json === undefined ? null : asText(json, path);
}

function asTexts(json: Json, path: string): string[] {
  if (!Array.isArray(json)) throw wrong(path);
  return json.map((item) => asText(item, path));
}

function asCount(json: Json | undefined, path: string): number {
  if (typeof json !== "number" || !Number.isSafeInteger(json) || json < 0) throw wrong(path);
  return json;
}

/**
 * Reads decimal digits in a string, as LUKS2 writes what may exceed 32 bits (section 3, "uint64 in
 * string").
 */
function asSize(json: Json | undefined, path: string): number {
  return asNumber(asText(json, path), path);
}

function asNumbers(json: Json | undefined, path: string): number[] {
  if (json === undefined) throw wrong(path);
  return asTexts(json, path).map((text) => asNumber(text, path));
}

function asNumber(text: string, path: string): number {
  const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw wrong(path);
  return value;
}

function wrong(path: string): NightlatchError {
  const where = printable(path);
  return new NightlatchError(
    "luks/damaged",
    `the LUKS2 metadata is damaged: ${where} is missing or has the wrong form`,
  );
}
