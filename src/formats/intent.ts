import { createHash } from "node:crypto";
import { NightlatchError } from "../core/errors.ts";
import type { Json, JsonObject } from "./json.ts";

/** What a header change is about to do: docs/format/intent.md. */
export interface Intent {
  readonly operation: "bind" | "rebind" | "unbind";
  readonly adds: Addition | null;
  readonly removes: readonly Removal[];
}

export interface Addition {
  readonly keyslot: number;
  readonly iterations: number;
  /** Of the token, as `tokenDigest` gives it. */
  readonly digest: string;
}

export interface Removal {
  /** null: a token that has no keyslot any more. */
  readonly keyslot: number | null;
  /** KDF salt of the keyslot, base64; null with `keyslot`. */
  readonly salt: string | null;
  readonly digest: string;
}

export const INTENT_TYPE = "nightlatch-intent";
const VERSION = 1;
const MEMBERS = "adds,keyslots,operation,removes,type,version";
const MAX_KEYSLOTS = 32;

/** Iteration counts that no other program gives a slot by itself. */
export const FIRST_ITERATIONS = 1001;
export const ITERATION_COUNTS = 1024;

/** As a LUKS2 token, and as the file that stands in for one with LUKS1. */
export function formatIntent(intent: Intent): JsonObject {
  const { operation, adds, removes } = intent;
  return {
    type: INTENT_TYPE,
    keyslots: [],
    version: VERSION,
    operation,
    adds: adds === null ? null : { keyslot: adds.keyslot, iterations: adds.iterations, digest: adds.digest },
    removes: removes.map(({ keyslot, salt, digest }) => ({ keyslot, salt, digest })),
  };
}

/**
 * null where the token is of another type.
 * @throws NightlatchError luks/unknown-intent
 */
export function parseIntent(token: Json): Intent | null {
  if (!isObject(token) || token["type"] !== INTENT_TYPE) return null;
  const { operation, adds, removes } = token;
  if (token["version"] !== VERSION || Object.keys(token).sort().join() !== MEMBERS) throw unknown();
  if (operation !== "bind" && operation !== "rebind" && operation !== "unbind") throw unknown();
  if (!Array.isArray(removes) || removes.length > MAX_KEYSLOTS) throw unknown();
  return { operation, adds: adds === null ? null : readAddition(adds), removes: removes.map(readRemoval) };
}

function readAddition(json: Json | undefined): Addition {
  if (!isObject(json)) throw unknown();
  const { iterations, digest } = json;
  if (typeof iterations !== "number" || !Number.isInteger(iterations)) throw unknown();
  if (iterations < FIRST_ITERATIONS || iterations >= FIRST_ITERATIONS + ITERATION_COUNTS) throw unknown();
  return { keyslot: readKeyslot(json["keyslot"]), iterations, digest: readDigest(digest) };
}

function readRemoval(json: Json): Removal {
  if (!isObject(json)) throw unknown();
  const { keyslot, salt, digest } = json;
  if (keyslot === null && salt === null) return { keyslot, salt, digest: readDigest(digest) };
  if (typeof salt !== "string" || salt.length > 1024) throw unknown();
  return { keyslot: readKeyslot(keyslot), salt, digest: readDigest(digest) };
}

function readKeyslot(json: Json | undefined): number {
  if (typeof json !== "number" || !Number.isInteger(json) || json < 0 || json >= MAX_KEYSLOTS) throw unknown();
  return json;
}

function readDigest(json: Json | undefined): string {
  if (typeof json !== "string" || !/^[\w-]{43}$/.test(json)) throw unknown();
  return json;
}

/** Names a token by what it holds, whichever keyslots it belongs to at the moment. */
export function tokenDigest(token: JsonObject): string {
  const { keyslots: _, ...rest } = token;
  return createHash("sha256").update(canonical(rest)).digest("base64url");
}

function canonical(json: Json): string {
  if (Array.isArray(json)) return `[${json.map(canonical).join()}]`;
  if (!isObject(json)) return JSON.stringify(json);
  const members = Object.keys(json).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(json[name] ?? null)}`).join()}}`;
}

function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function unknown(): NightlatchError {
  return new NightlatchError(
    "luks/unknown-intent",
    "the volume holds a note of Nightlatch's that this version cannot read",
    {
      meaning: "A change of its header was cut short, by a newer version perhaps. The volume opens as before.",
      remedy: "Run the command again with the version that made it.",
    },
  );
}
