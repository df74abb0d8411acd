import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { invert, modulo, toBytes, toInteger } from "../jose/curve.ts";
import { type FlattenedJwe, formatCompactJwe, parseCompactJwe } from "../jose/jwe.ts";
import type { JsonObject } from "../json/json.ts";
import { isInteger, isList } from "../json/narrow.ts";
import { type ClevisPin, configurationOf, decodeMember, malformedBinding, requireAlgorithm } from "./clevis.ts";

/** What an sss binding holds beside its ciphertext: docs/format/clevis.md. */
export interface SssPin {
  readonly threshold: number;
  /** p, big-endian, without leading zero; a share is two integers of its length. */
  readonly prime: Buffer;
  readonly children: readonly FlattenedJwe[];
}

/** An sss has at most this many shares. */
export const SHARE_COUNT = 64;
const PRIME_BYTES = 64;

/**
 * Reads the header of an sss binding; the shares within it are not read yet.
 * @throws NightlatchError clevis/malformed, jwe/unsupported, jwe/malformed (a share)
 */
export function parseSssPin(clevis: ClevisPin): SssPin {
  const { t: threshold, p, jwe: children } = configurationOf(clevis);
  requireAlgorithm(clevis, "dir");
  if (typeof p !== "string") malformedBinding("the binding's shares have no prime");
  const prime = decodeMember(p, "the prime of the binding's shares");
  const lastByte = prime.at(-1) ?? 0;
  if (prime.length > PRIME_BYTES || prime[0] === 0 || lastByte % 2 === 0) {
    malformedBinding("the binding's shares have no usable prime");
  }
  if (!isList(children, SHARE_COUNT)) {
    malformedBinding(`the binding's shares are not a list of at most ${SHARE_COUNT}`);
  }
  if (!isInteger(threshold, 1, children.length)) {
    malformedBinding("the binding's threshold does not fit the number of its shares");
  }
  return {
    threshold,
    prime,
    children: children.map((child) => {
      if (typeof child !== "string") malformedBinding("a share of the binding is not a JWE");
      return parseCompactJwe(child, "a share of the binding");
    }),
  };
}

/** Makes the header that `clevis encrypt sss` writes, member for member. */
export function sssHeader({ threshold, prime, children }: SssPin): JsonObject {
  const sss = { jwe: children.map(formatCompactJwe), p: toBase64url(prime), t: threshold };
  return { alg: "dir", clevis: { pin: "sss", sss }, enc: "A256GCM" };
}

/** A secret that was drawn, and its shares. The caller wipes them. */
interface Dealt {
  /** Of the prime's length. */
  readonly secret: Secret;
  readonly shares: readonly Secret[];
}

/**
 * Draws a secret and deals it: a polynomial of degree t−1 over the integers modulo p, all
 * coefficients drawn evenly, the constant term being the secret; a share is a point of it at a
 * place that was drawn too, which is neither 0 nor another share's. Coefficients are BigInts, which
 * cannot be wiped.
 * @param prime whose highest bit is set, so that at most every second draw is thrown away
 * @param threshold from 1 to `count`
 */
export function dealShares(
  prime: Uint8Array,
  { threshold, count }: { readonly threshold: number; readonly count: number },
  random: (lengthBytes: number) => Buffer,
): Dealt {
  const p = toInteger(prime);
  const coefficients = Array.from({ length: threshold }, () => drawBelow(p, prime.byteLength, random));
  const places = new Set<bigint>();
  while (places.size < count) {
    const x = drawBelow(p, prime.byteLength, random);
    if (x !== 0n) places.add(x);
  }
  const shares = [...places].map((x) => {
    const y = coefficients.reduceRight((sum, coefficient) => modulo(sum * x + coefficient, p), 0n);
    const share = Buffer.alloc(2 * prime.byteLength);
    writeInteger(share, 0, x, prime.byteLength);
    writeInteger(share, prime.byteLength, y, prime.byteLength);
    return Secret.take(share);
  });
  return { secret: Secret.take(toBytes(coefficients[0] ?? 0n, prime.byteLength)), shares };
}

function drawBelow(p: bigint, lengthBytes: number, random: (lengthBytes: number) => Buffer): bigint {
  for (;;) {
    const bytes = random(lengthBytes);
    const value = toInteger(bytes);
    bytes.fill(0);
    if (value < p) return value;
  }
}

function writeInteger(into: Buffer, offset: number, value: bigint, lengthBytes: number): void {
  const bytes = toBytes(value, lengthBytes);
  bytes.copy(into, offset);
  bytes.fill(0);
}

/**
 * Combines shares by Shamir's scheme as clevis writes it: a polynomial over the integers modulo a
 * prime p whose constant term is the secret; a share is x ‖ y, two big-endian integers of p's
 * length.
 * @param shares exactly as many as the threshold: with a wrong or foreign one the answer is wrong,
 *   which only decryption shows
 * @returns the secret, of p's length
 * @throws NightlatchError pin/wrong-shares: a share of another length, out of range, or two of the
 *   same x. Each set has its own prime, so whether another set's share is in range is chance;
 *   clevis/malformed: the prime is none
 */
export function combineShares(prime: Uint8Array, shares: readonly Uint8Array[]): Secret {
  const p = toInteger(prime);
  const points = shares.map((share) => parseShare(share, prime.byteLength, p));
  if (new Set(points.map(({ x }) => x)).size !== points.length) throw wrongShares("two shares are the same");
  let secret = 0n;
  for (const { x, y } of points) {
    let numerator = y;
    let denominator = 1n;
    for (const other of points) {
      if (other.x === x) continue;
      numerator = modulo(numerator * -other.x, p);
      denominator = modulo(denominator * (x - other.x), p);
    }
    secret = modulo(secret + numerator * inverse(denominator, p), p);
  }
  return Secret.take(toBytes(secret, prime.byteLength));
}

function parseShare(share: Uint8Array, lengthBytes: number, p: bigint): { x: bigint; y: bigint } {
  if (share.byteLength !== 2 * lengthBytes) throw wrongShares("a share has another length than its prime asks");
  const x = toInteger(share.subarray(0, lengthBytes));
  const y = toInteger(share.subarray(lengthBytes));
  if (x === 0n || x >= p || y >= p) throw wrongShares("a share is out of range");
  return { x, y };
}

/** Shares that are authentic each, and are not of one set. */
export function wrongShares(message: string): NightlatchError {
  return new NightlatchError("pin/wrong-shares", message, {
    meaning: "One of them is another binding's, or the token was changed, its threshold perhaps.",
    remedy: "Unlock the volume with its passphrase and bind it anew.",
  });
}

function inverse(value: bigint, p: bigint): bigint {
  try {
    return invert(value, p);
  } catch {
    return malformedBinding("the shares' prime is none");
  }
}
