// @ts-nocheck
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { decodeBase64url, toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json/json.ts";
import { isList, isText } from "../json/narrow.ts";
import { CURVES, type CurveName, isOnCurve, type Point, toBytes, toInteger } from "./curve.ts";

/** What a key may say about its use (RFC 7517 sections 4.2 to 4.5); absent members are absent. */
interface Usage {
  readonly alg?: string;
  readonly use?: string;
  readonly key_ops?: readonly string[];
}

/**
 * A public key on a NIST curve (RFC 7518 section 6.2.1): coordinates of exactly the curve's length,
 * on the curve.
 */
export interface EcPublicJwk extends Usage {
  readonly kty: "EC";
  readonly crv: CurveName;
  readonly x: string;
  readonly y: string;
}

/** A public Ed25519 key (RFC 8037 section 2). */
export interface OkpPublicJwk extends Usage {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
}

/** A public key that can verify a signature; on a NIST curve it can be exchanged with, too. */
export type PublicJwk = EcPublicJwk | OkpPublicJwk;

const ED25519_BYTES = 32;
/** Longer than every registered name. */
const USAGE_LENGTH = 64;
const KEY_OPS_COUNT = 16;

/**
 * Reads a public key from outside. A private part (`d`) and members that are not known are dropped,
 * as RFC 7517 section 4 asks.
 * @throws NightlatchError jwk/malformed, jwk/unsupported (kind of key or curve), jwk/off-curve
 */
export function parsePublicJwk(json: Json, what = "the key"): PublicJwk {
  const source = asObject(json, what);
  const usage = parseUsage(source, what);
  switch (textOf(source, "kty", what)) {
    case "EC":
      return { ...usage, ...parseEcMembers(source, what) };
    case "OKP":
      return { ...usage, ...parseOkpMembers(source, what) };
    default:
      throw new NightlatchError("jwk/unsupported", `${what} is neither an EC nor an OKP key`);
  }
}

/**
 * Reads a public key as parsePublicJwk does, on a NIST curve only.
 * @throws NightlatchError as parsePublicJwk
 */
export function parseEcPublicJwk(json: Json, what = "the key"): EcPublicJwk {
  const jwk = parsePublicJwk(json, what);
  if (jwk.kty !== "EC") throw new NightlatchError("jwk/unsupported", `${what} is not an EC key`);
  return jwk;
}

/**
 * Gives a key's thumbprint, base64url of the hash: RFC 7638 section 3, RFC 8037 section 2 for OKP.
 */
export function thumbprintOf(jwk: PublicJwk, hash: ThumbprintHash = "S256"): string {
  const members =
    jwk.kty === "EC" ? { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y } : { crv: jwk.crv, kty: jwk.kty, x: jwk.x };
  return createHash(THUMBPRINT_HASHES[hash]).update(JSON.stringify(members)).digest("base64url");
}

/** José's names for the hashes that may name a key; tang and clevis take every one of them. */
const THUMBPRINT_HASHES = { S1: "sha1", S224: "sha224", S256: "sha256", S384: "sha384", S512: "sha512" } as const;
type ThumbprintHash = keyof typeof THUMBPRINT_HASHES;

const HASH_BY_LENGTH: Readonly<Record<number, ThumbprintHash>> = {
  27: "S1",
  38: "S224",
  43: "S256",
  64: "S384",
  86: "S512",
};

/** Tells whether `thumbprint` names this key under the hash that its length tells. */
export function hasThumbprint(jwk: PublicJwk, thumbprint: string): boolean {
  const hash = HASH_BY_LENGTH[thumbprint.length];
  return hash !== undefined && thumbprintOf(jwk, hash) === thumbprint;
}

/** Gives the point of a key. */
export function pointOf(jwk: EcPublicJwk): Point {
  return {
    curve: CURVES[jwk.crv],
    x: toInteger(Buffer.from(jwk.x, "base64url")),
    y: toInteger(Buffer.from(jwk.y, "base64url")),
  };
}

/** Gives the key of a point. */
export function jwkOfPoint({ curve, x, y }: Point): EcPublicJwk {
  return {
    kty: "EC",
    crv: curve.name,
    x: toBase64url(toBytes(x, curve.lengthBytes)),
    y: toBase64url(toBytes(y, curve.lengthBytes)),
  };
}

/** Gives the key to node:crypto. */
export function importPublicKey(jwk: PublicJwk): KeyObject {
  return createPublicKey({ key: bareJwk(jwk), format: "jwk" });
}

/** RFC 8410 section 7: PKCS #8 of an Ed25519 key, all but the 32 bytes at its end. */
const ED25519_PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** Gives the Ed25519 private key of a seed of 32 bytes, which stays the caller's to wipe. */
export function importEd25519Seed(seed: Uint8Array): KeyObject {
  const der = Buffer.concat([ED25519_PKCS8_PREFIX, seed]);
  try {
    return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  } finally {
    der.fill(0);
  }
}

/**
 * Gives the public JWK of a key that node:crypto holds, private or public.
 * @throws NightlatchError jwk/unsupported
 */
export function exportPublicJwk(key: KeyObject): PublicJwk {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return parsePublicJwk({ ...publicKey.export({ format: "jwk" }) } as JsonObject);
}

function bareJwk(jwk: PublicJwk): Record<string, string> {
  return jwk.kty === "EC"
    ? { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }
    : { kty: jwk.kty, crv: jwk.crv, x: jwk.x };
}

function parseEcMembers(source: JsonObject, what: string): EcPublicJwk {
  const name = textOf(source, "crv", what);
  const curve = Object.hasOwn(CURVES, name) ? CURVES[name as CurveName] : undefined;
  if (curve === undefined) throw new NightlatchError("jwk/unsupported", `${what} is not on a NIST curve`);
  const x = textOf(source, "x", what);
  const y = textOf(source, "y", what);
  const point = {
    curve,
    x: toInteger(decode(x, curve.lengthBytes, `x of ${what}`)),
    y: toInteger(decode(y, curve.lengthBytes, `y of ${what}`)),
  };
  if (!isOnCurve(point)) throw new NightlatchError("jwk/off-curve", `${what} is not a point of ${curve.name}`);
  return { kty: "EC", crv: curve.name, x, y };
}

function parseOkpMembers(source: JsonObject, what: string): OkpPublicJwk {
  if (textOf(source, "crv", what) !== "Ed25519") {
    throw new NightlatchError("jwk/unsupported", `${what} is not an Ed25519 key`);
  }
  const x = textOf(source, "x", what);
  decode(x, ED25519_BYTES, `x of ${what}`);
  return { kty: "OKP", crv: "Ed25519", x };
}

function parseUsage(source: JsonObject, what: string): Usage {
  const usage: { alg?: string; use?: string; key_ops?: readonly string[] } = {};
  if ("alg" in source) usage.alg = textOf(source, "alg", what);
  if ("use" in source) usage.use = textOf(source, "use", what);
  if ("key_ops" in source) {
    const operations = source["key_ops"];
    if (!isList(operations, KEY_OPS_COUNT)) {
      throw new NightlatchError("jwk/malformed", `key_ops of ${what} is not a list of at most ${KEY_OPS_COUNT} names`);
    }
    usage.key_ops = operations.map((operation) => {
      if (typeof operation !== "string" || operation.length > USAGE_LENGTH) {
        throw new NightlatchError("jwk/malformed", `key_ops of ${what} holds something that is not a name`);
      }
      return operation;
    });
  }
  return usage;
}

function asObject(json: Json | undefined, what: string): JsonObject {
  if (isJsonObject(json)) return json;
  throw new NightlatchError("jwk/malformed", `${what} is not a JSON object`);
}

const TEXT_LENGTH = 128;

function textOf(source: JsonObject, member: string, what: string): string {
  const value = Object.hasOwn(source, member) ? source[member] : undefined;
  if (isText(value, TEXT_LENGTH)) return value;
  throw new NightlatchError("jwk/malformed", `${what} has no usable member ${member}`);
}

function decode(text: string, lengthBytes: number, what: string): Buffer {
  const bytes = decodeBase64url(text);
  if (bytes?.length === lengthBytes) return bytes;
  throw new NightlatchError("jwk/malformed", `${what} is not base64url of ${lengthBytes} bytes`);
}
