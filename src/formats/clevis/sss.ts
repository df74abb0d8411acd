import { Secret } from "../../core/secret.ts";
import { invert, modulo, toBytes, toInteger } from "../jose/curve.ts";
import { type FlattenedJwe, parseCompactJwe } from "../jose/jwe.ts";
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

/**
 * Combines shares by Shamir's scheme as clevis writes it: a polynomial over the integers modulo a
 * prime p whose constant term is the secret; a share is x ‖ y, two big-endian integers of p's
 * length.
 * @param shares exactly as many as the threshold: with a wrong or foreign one the answer is wrong,
 *   which only decryption shows
 * @returns the secret, of p's length
 * @throws NightlatchError clevis/malformed: a share of another length, out of range, or two of the
 *   same x
 */
export function combineShares(prime: Uint8Array, shares: readonly Uint8Array[]): Secret {
  const p = toInteger(prime);
  const points = shares.map((share) => parseShare(share, prime.byteLength, p));
  if (new Set(points.map(({ x }) => x)).size !== points.length) malformedBinding("two shares are the same");
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
  if (share.byteLength !== 2 * lengthBytes) malformedBinding("a share has another length than its prime asks");
  const x = toInteger(share.subarray(0, lengthBytes));
  const y = toInteger(share.subarray(lengthBytes));
  if (x === 0n || x >= p || y >= p) malformedBinding("a share is out of range");
  return { x, y };
}

function inverse(value: bigint, p: bigint): bigint {
  try {
    return invert(value, p);
  } catch {
    return malformedBinding("the shares' prime is none");
  }
}
