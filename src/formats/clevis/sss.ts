import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { invert, modulo, toBytes, toInteger } from "../jose/curve.ts";

/**
 * Shamir's scheme as clevis writes it: a polynomial over the integers modulo a prime p whose constant term is the secret; a share
 * is x ‖ y, two big-endian integers of p's length.
 *
 * @param shares exactly as many as the threshold: with a wrong or foreign one the answer is wrong, which only decryption shows
 * @returns the secret, of p's length
 * @throws NightlatchError clevis/malformed: a share of another length, out of range, or two of the same x
 */
export function combineShares(prime: Uint8Array, shares: readonly Uint8Array[]): Secret {
  const p = toInteger(prime);
  const points = shares.map((share) => parseShare(share, prime.byteLength, p));
  if (new Set(points.map(({ x }) => x)).size !== points.length) malformed("two shares are the same");
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
  if (share.byteLength !== 2 * lengthBytes) malformed("a share has another length than its prime asks");
  const x = toInteger(share.subarray(0, lengthBytes));
  const y = toInteger(share.subarray(lengthBytes));
  if (x === 0n || x >= p || y >= p) malformed("a share is out of range");
  return { x, y };
}

function inverse(value: bigint, p: bigint): bigint {
  try {
    return invert(value, p);
  } catch {
    return malformed("the shares' prime is none");
  }
}

function malformed(message: string): never {
  throw new NightlatchError("clevis/malformed", message);
}
