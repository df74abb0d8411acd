// @ts-nocheck
import { createHash } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json/json.ts";
import { hasExactly, isInteger, isList, isText, isTextLike } from "../json/narrow.ts";

/** What a header change is about to do: docs/format/intent.md. */
export interface Intent {
  /**
   * 22 random characters of base64url. It ties the note in the header to the record in the state
   * folder.
   */
  readonly id: string;
  readonly operation: ChangeOperation;
  readonly adds: Addition | null;
  readonly removes: readonly Removal[];
}

/** What a change is for, told to people. */
export type ChangeOperation = (typeof OPERATIONS)[number];

interface Addition {
  readonly keyslot: number;
  readonly iterations: number;
  /** Of the token, as `tokenDigest` gives it. */
  readonly digest: string;
}

/** A token that a change removes, with the keyslot that it opens. */
export interface Removal {
  /** null: a token that has no keyslot any more. */
  readonly keyslot: number | null;
  /** KDF salt of the keyslot, base64; null with `keyslot`. */
  readonly salt: string | null;
  readonly digest: string;
}

/** What the state folder knows of a change under way. It alone gives authority over a keyslot. */
export interface IntentRecord {
  readonly intent: Intent;
  /** The path that was changed, as it was given. */
  readonly device: string;
  /**
   * KDF salts (base64) of the keyslots that were there before: they tell this volume from another,
   * and none of them is the change's own.
   */
  readonly salts: readonly string[];
}

const OPERATIONS = ["bind", "rebind", "unbind", "recovery-add", "recovery-remove"] as const;
const isOperation = (json: Json | undefined): json is ChangeOperation => OPERATIONS.some((name) => name === json);

/** The type of the note's token. */
export const INTENT_TYPE = "nightlatch-intent";
const RECORD_TYPE = "nightlatch-intent-record";
const VERSION = 1;
const MEMBERS = ["adds", "id", "keyslots", "operation", "removes", "type", "version"];
const RECORD_MEMBERS = ["device", "intent", "salts", "type", "version"];
const MAX_KEYSLOTS = 32;

/** What stock clevis and systemd give the slots of their tokens. */
export const CLEVIS_ITERATIONS = 1000;
/** Iteration counts that no other program gives a slot by itself. */
export const FIRST_ITERATIONS = 1001;
/** How many of them there are. */
export const ITERATION_COUNTS = 1024;

/** Writes an intent as a LUKS2 token. */
export function formatIntent(intent: Intent): JsonObject {
  const { id, operation, adds, removes } = intent;
  return {
    type: INTENT_TYPE,
    keyslots: [],
    version: VERSION,
    id,
    operation,
    adds: adds === null ? null : { keyslot: adds.keyslot, iterations: adds.iterations, digest: adds.digest },
    removes: removes.map(({ keyslot, salt, digest }) => ({ keyslot, salt, digest })),
  };
}

/**
 * Reads an intent; null where the token is of another type.
 * @throws NightlatchError luks/unknown-intent
 */
export function parseIntent(token: Json): Intent | null {
  if (!isJsonObject(token) || token["type"] !== INTENT_TYPE) return null;
  const { id, operation, adds, removes } = token;
  if (token["version"] !== VERSION || !hasExactly(token, MEMBERS)) throw unknown();
  if (!isTextLike(id, /^[\w-]{22}$/)) throw unknown();
  if (!isOperation(operation)) throw unknown();
  if (!isList(removes, MAX_KEYSLOTS)) throw unknown();
  return { id, operation, adds: adds === null ? null : readAddition(adds), removes: removes.map(readRemoval) };
}

/** Writes the record as the file in the state folder. */
export function formatIntentRecord({ intent, device, salts }: IntentRecord): JsonObject {
  return { type: RECORD_TYPE, version: VERSION, device, salts: [...salts], intent: formatIntent(intent) };
}

/**
 * Reads the record.
 * @throws NightlatchError luks/unknown-intent
 */
export function parseIntentRecord(json: Json): IntentRecord {
  if (!hasExactly(json, RECORD_MEMBERS) || json["type"] !== RECORD_TYPE || json["version"] !== VERSION) throw unknown();
  const { device, salts } = json;
  const intent = parseIntent(json["intent"] ?? null);
  if (intent === null || typeof device !== "string") throw unknown();
  if (!isList(salts, MAX_KEYSLOTS)) throw unknown();
  return { intent, device, salts: salts.map(readSalt) };
}

function readAddition(json: Json | undefined): Addition {
  if (!isJsonObject(json)) throw unknown();
  const { iterations, digest } = json;
  if (!isInteger(iterations, FIRST_ITERATIONS, FIRST_ITERATIONS + ITERATION_COUNTS - 1)) throw unknown();
  return { keyslot: readKeyslot(json["keyslot"]), iterations, digest: readDigest(digest) };
}

function readRemoval(json: Json): Removal {
  if (!isJsonObject(json)) throw unknown();
  const { keyslot, salt, digest } = json;
  if (keyslot === null && salt === null) return { keyslot, salt, digest: readDigest(digest) };
  return { keyslot: readKeyslot(keyslot), salt: readSalt(salt), digest: readDigest(digest) };
}

function readSalt(json: Json | undefined): string {
  if (!isText(json, 1024)) throw unknown();
  return json;
}

function readKeyslot(json: Json | undefined): number {
  if (!isInteger(json, 0, MAX_KEYSLOTS - 1)) throw unknown();
  return json;
}

function readDigest(json: Json | undefined): string {
  if (!isTextLike(json, /^[\w-]{43}$/)) throw unknown();
  return json;
}

/**
 * Names a token by what it holds, whichever keyslots it belongs to at the moment. Tokens that hold
 * nothing but their type share one: isTokenOf tells them apart.
 */
export function tokenDigest(token: JsonObject): string {
  const { keyslots: _, ...rest } = token;
  return createHash("sha256").update(canonical(rest)).digest("base64url");
}

function canonical(json: Json): string {
  if (Array.isArray(json)) return `[${json.map(canonical).join()}]`;
  if (!isJsonObject(json)) return JSON.stringify(json);
  const members = Object.keys(json).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(json[name] ?? null)}`).join()}}`;
}

/**
 * Makes the error without saying of which token or file: whoever read it knows, and knows what to
 * do.
 */
function unknown(): NightlatchError {
  return new NightlatchError("luks/unknown-intent", "a note of Nightlatch's that this version cannot read");
}
