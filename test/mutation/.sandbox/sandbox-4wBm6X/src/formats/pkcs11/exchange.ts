// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { RsaScheme } from "../clevis/pkcs11.ts";
import type { CurveName } from "../jose/curve.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { isInteger, isList, isText, isTextLike } from "../json/narrow.ts";
import type { ObjectMatch, TokenMatch } from "./uri.ts";

/**
 * What a command and the program that loads a card's driver say to each other, once each way:
 * docs/format/pkcs11.md. Keys and PINs are bytes behind the JSON, never in it.
 */
export interface CardRequest {
  /** Absolute path of the PKCS#11 module. */
  readonly module: string;
  readonly token: TokenMatch;
  readonly object: ObjectMatch;
  readonly task: CardTask;
  /** Whether a person typed the PIN just now, who may risk a try that nobody else may. */
  readonly attended: boolean;
  /** Null: none is known yet. */
  readonly pin: Uint8Array | null;
}

/** What the card is to do with the key. */
export type CardTask =
  | { readonly kind: "describe" }
  | { readonly kind: "decrypt"; readonly scheme: RsaScheme; readonly input: Uint8Array }
  | { readonly kind: "derive"; readonly curve: CurveName; readonly input: Uint8Array };

/** Every way in which a request to a card ends. */
export const CARD_OUTCOMES = [
  "done",
  "no-driver",
  "absent",
  "several-tokens",
  "no-key",
  "several-keys",
  "pin-needed",
  "pin-pad",
  "wrong-pin",
  "few-tries",
  "last-try",
  "locked",
  "unsupported",
  "failed",
] as const;

/** One of the ways in which a request to a card ends. */
export type CardOutcome = (typeof CARD_OUTCOMES)[number];

/** What the program answers. */
export interface CardAnswer {
  readonly outcome: CardOutcome;
  /** The token that was meant, once there was one. */
  readonly token?: TokenFacts;
  /** Labels of the tokens that there are, where none or several fit. */
  readonly seen?: readonly string[];
  /** The function of PKCS#11 that failed, and its return value. */
  readonly failure?: { readonly name: string; readonly value: number };
  /** What `describe` was asked for. */
  readonly key?: CardKey;
  /** Secrets that came out, of which at most one is right. The caller wipes them. */
  readonly secrets: readonly Secret[];
}

/** What a token says of itself. */
export interface TokenFacts {
  readonly label: string;
  readonly serial: string;
}

/** A private key's public half. Numbers are in hexadecimal, big-endian. */
export type CardKey =
  | { readonly kind: "RSA"; readonly modulus: string; readonly exponent: string }
  | { readonly kind: "EC"; readonly curve: CurveName; readonly point: string };

const JSON_BYTES = 8192;
const PART_BYTES = 4096;
const SECRET_COUNT = 4;
const SEEN_COUNT = 8;
/** No message of either side is longer. */
export const MESSAGE_BYTES = 4 + JSON_BYTES + SECRET_COUNT * (2 + PART_BYTES);

/** Writes a request, which holds the PIN. The caller wipes it. */
export function formatCardRequest({ module, token, object, task, attended, pin }: CardRequest): Secret {
  const { kind } = task;
  const how = kind === "decrypt" ? { scheme: task.scheme } : kind === "derive" ? { curve: task.curve } : {};
  const head = { module, token: { ...token }, object: { ...object }, kind, ...how, attended, hasPin: pin !== null };
  return join(head, [pin ?? new Uint8Array(0), kind === "describe" ? new Uint8Array(0) : task.input]);
}

/**
 * Reads a request. Its PIN and input are parts of `bytes`, which the caller wipes.
 * @throws NightlatchError pkcs11/malformed
 */
export function parseCardRequest(bytes: Buffer): CardRequest {
  const { head, parts } = split(bytes);
  const { module, token, object, kind, attended, hasPin } = head;
  const [pin, input] = parts;
  if (!isTextLike(module, /^\/[^\0]{1,4095}$/) || !isJsonObject(token) || !isJsonObject(object)) damaged();
  if (typeof attended !== "boolean" || pin === undefined || input === undefined) damaged();
  return {
    module,
    token: { ...token },
    object: { ...object },
    task: taskOf(head, kind, input),
    attended,
    pin: hasPin === true ? pin : null,
  };
}

function taskOf({ scheme, curve }: JsonObject, kind: Json | undefined, input: Buffer): CardTask {
  if (kind === "describe") return { kind };
  if (kind === "decrypt" && (scheme === "RSA-PKCS" || scheme === "RSA-OAEP-SHA-1" || scheme === "RSA-OAEP-SHA-256")) {
    return { kind, scheme, input };
  }
  if (kind === "derive" && isCurve(curve)) return { kind, curve, input };
  return damaged();
}

const isCurve = (json: Json | undefined): json is CurveName => json === "P-256" || json === "P-384" || json === "P-521";

/** Writes an answer, which may hold secrets. The caller wipes it. */
export function formatCardAnswer({ secrets, ...head }: CardAnswer): Secret {
  const limited = head.seen === undefined ? head : { ...head, seen: head.seen.slice(0, SEEN_COUNT) };
  return join(
    JSON.parse(JSON.stringify(limited)) as JsonObject,
    secrets.slice(0, SECRET_COUNT).map((secret) => secret.reveal()),
  );
}

/**
 * Reads an answer. Its secrets are copies.
 * @throws NightlatchError pkcs11/malformed: a driver has written between, say
 */
export function parseCardAnswer(bytes: Buffer): CardAnswer {
  const { head, parts } = split(bytes);
  const { outcome, token, seen, failure, key } = head;
  const known = CARD_OUTCOMES.find((name) => name === outcome) ?? damaged();
  const labels = isList(seen, SEEN_COUNT) ? seen.filter((label) => typeof label === "string") : null;
  return {
    outcome: known,
    ...(isJsonObject(token) && typeof token["label"] === "string" && typeof token["serial"] === "string"
      ? { token: { label: token["label"], serial: token["serial"] } }
      : {}),
    ...(labels === null ? {} : { seen: labels }),
    ...(isJsonObject(failure) && isText(failure["name"], 64) && isInteger(failure["value"], 0, 0xffff_ffff)
      ? { failure: { name: failure["name"], value: failure["value"] } }
      : {}),
    ...(isJsonObject(key) ? { key: keyOf(key) } : {}),
    secrets: parts.map((part) => Secret.copy(part)),
  };
}

function keyOf({ kind, modulus, exponent, curve, point }: JsonObject): CardKey {
  const hex = /^(?:[0-9a-f]{2}){1,2048}$/;
  if (kind === "RSA" && isTextLike(modulus, hex) && isTextLike(exponent, hex)) return { kind, modulus, exponent };
  if (kind === "EC" && isCurve(curve) && isTextLike(point, hex)) return { kind, curve, point };
  return damaged();
}

/** Four bytes of length, JSON, and then parts, each with two bytes of length before it. */
function join(head: JsonObject, parts: readonly Uint8Array[]): Secret {
  const json = Buffer.from(JSON.stringify(head));
  const lengthBytes = parts.reduce((sum, part) => sum + 2 + part.byteLength, 4 + json.length);
  const whole = Buffer.alloc(lengthBytes);
  let at = whole.writeUInt32BE(json.length, 0);
  at += json.copy(whole, at);
  for (const part of parts) {
    at = whole.writeUInt16BE(part.byteLength, at);
    whole.set(part, at);
    at += part.byteLength;
  }
  return Secret.take(whole);
}

function split(bytes: Buffer): { readonly head: JsonObject; readonly parts: readonly Buffer[] } {
  if (bytes.length < 4 || bytes.length > MESSAGE_BYTES) damaged();
  let at = 4 + bytes.readUInt32BE(0);
  if (at > bytes.length) damaged();
  const head = headOf(bytes.subarray(4, at));
  const parts: Buffer[] = [];
  while (at < bytes.length) {
    if (parts.length === SECRET_COUNT || at + 2 > bytes.length) damaged();
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length || end - at - 2 > PART_BYTES) damaged();
    parts.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return { head, parts };
}

function headOf(bytes: Buffer): JsonObject {
  try {
    const head = parseJson(bytes, "the head", { lengthBytes: JSON_BYTES, depth: 3 });
    if (isJsonObject(head)) return head;
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
  }
  return damaged();
}

function damaged(): never {
  throw new NightlatchError("pkcs11/malformed", "a message to or from the program of a card's driver is damaged");
}
