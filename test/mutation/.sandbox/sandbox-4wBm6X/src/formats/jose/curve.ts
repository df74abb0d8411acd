/**
 * The NIST curves (SP 800-186 section 3.2.1) as far as node:crypto leaves a gap: whether a point is
 * on the curve, and the sum of two points. Scalar multiplication stays with OpenSSL.
 *
 * BigInt arithmetic takes a time that depends on its operands. That is acceptable for what passes
 * through here: points that are public, or blinded by a scalar that was drawn for this one exchange
 * (see ecmr.ts).
 */
// @ts-nocheck

export type CurveName = "P-256" | "P-384" | "P-521";

/** A curve y² = x³ − 3x + b over the integers modulo p. */
export interface Curve {
  readonly name: CurveName;
  /** OpenSSL's name, for createECDH. */
  readonly opensslName: string;
  /** Of a coordinate and of a scalar. */
  readonly lengthBytes: number;
  /** The field's prime, ≡ 3 mod 4. The curve is y² = x³ − 3x + b. */
  readonly p: bigint;
  readonly b: bigint;
  /**
   * The prime order of the group; the cofactor is 1, so every point of the curve is in the group.
   */
  readonly n: bigint;
}

const P256: Curve = {
  name: "P-256",
  opensslName: "prime256v1",
  lengthBytes: 32,
  p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
  b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
};

const P384: Curve = {
  name: "P-384",
  opensslName: "secp384r1",
  lengthBytes: 48,
  p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
  b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
};

const P521: Curve = {
  name: "P-521",
  opensslName: "secp521r1",
  lengthBytes: 66,
  p: 2n ** 521n - 1n,
  b: BigInt(
    "0x0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
  ),
  n: BigInt(
    "0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
  ),
};

/** The curves that tang knows. */
export const CURVES: Readonly<Record<CurveName, Curve>> = { "P-256": P256, "P-384": P384, "P-521": P521 };

/** A point of the curve, never the point at infinity. */
export interface Point {
  readonly curve: Curve;
  readonly x: bigint;
  readonly y: bigint;
}

/** Tells whether x and y are coordinates of a point of the curve. */
export function isOnCurve({ curve, x, y }: Point): boolean {
  const { p, b } = curve;
  if (x < 0n || x >= p || y < 0n || y >= p) return false;
  return (y * y - (x * x * x - 3n * x + b)) % p === 0n;
}

/** Gives P + Q; null where the sum is the point at infinity. Both must be on the same curve. */
export function addPoints(one: Point, other: Point): Point | null {
  const { curve } = one;
  const { p } = curve;
  let slope: bigint;
  if (one.x === other.x) {
    if (one.y !== other.y || one.y === 0n) return null;
    slope = modulo((3n * one.x * one.x - 3n) * invert(2n * one.y, p), p);
  } else {
    slope = modulo((other.y - one.y) * invert(other.x - one.x, p), p);
  }
  const x = modulo(slope * slope - one.x - other.x, p);
  return { curve, x, y: modulo(slope * (one.x - x) - one.y, p) };
}

/** Gives −P. */
export function negatePoint({ curve, x, y }: Point): Point {
  return { curve, x, y: y === 0n ? 0n : curve.p - y };
}

/**
 * Gives one of the two points of this x; the other is its negative.
 * @throws RangeError where there is none
 */
export function liftX(curve: Curve, x: bigint): Point {
  const { p, b } = curve;
  const square = modulo(x * x * x - 3n * x + b, p);
  const y = power(square, (p + 1n) / 4n, p); // p ≡ 3 mod 4
  if ((y * y) % p !== square) throw new RangeError("no point has this x");
  return { curve, x, y };
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === "1") result = (result * base) % modulus;
  }
  return result;
}

/** Gives the residue in [0, modulus). */
export function modulo(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/**
 * Gives the inverse of `value` modulo `modulus`, by Euclid's extended algorithm.
 * @throws RangeError where there is none
 */
export function invert(value: bigint, modulus: bigint): bigint {
  let [oldRest, rest] = [modulo(value, modulus), modulus];
  let [oldFactor, factor] = [1n, 0n];
  while (rest !== 0n) {
    const quotient = oldRest / rest;
    [oldRest, rest] = [rest, oldRest - quotient * rest];
    [oldFactor, factor] = [factor, oldFactor - quotient * factor];
  }
  if (oldRest !== 1n) throw new RangeError("no inverse");
  return modulo(oldFactor, modulus);
}

/** Reads a big-endian integer. */
export function toInteger(bytes: Uint8Array): bigint {
  return bytes.byteLength === 0
    ? 0n
    : BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`);
}

/** Writes an integer big-endian, in exactly `lengthBytes`; the value must fit. */
export function toBytes(value: bigint, lengthBytes: number): Buffer {
  return Buffer.from(value.toString(16).padStart(lengthBytes * 2, "0"), "hex");
}
