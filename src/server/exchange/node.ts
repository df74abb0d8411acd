import { createECDH } from "node:crypto";
import { CURVES, invert, isOnCurve, modulo, toBytes, toInteger } from "../../formats/jose/curve.ts";
import { type Exchange, POINT_BYTES, SCALAR_BYTES } from "./port.ts";

const P256 = CURVES["P-256"];

/**
 * Over node:crypto, which gives only the x of a product: x of Q = sX and x of (s+1)X together tell the y of Q, with no root to take
 * and no sign to guess. From the addition law for Q + X (y² = x³ + ax + b, a = −3):
 *
 *   y_Q = [(x_X + x_Q)(x_X x_Q + a) + 2b − x₃ (x_X − x_Q)²] / (2 y_X),   x₃ = x of (s+1)X
 */
export const nodeExchange: Exchange = {
  name: "node",
  isPoint: (point) => readPoint(point) !== null,
  multiply(scalar, point) {
    const read = readPoint(point);
    if (read === null) throw new RangeError("not a point of P-256");
    const { x, y } = read;
    const xOfProduct = toInteger(product(scalar, point));
    const next = successor(scalar);
    const xOfNext = toInteger(product(next, point));
    next.fill(0);
    const { p, b } = P256;
    const difference = x - xOfProduct;
    const numerator = (x + xOfProduct) * (x * xOfProduct - 3n) + 2n * b - xOfNext * difference * difference;
    const yOfProduct = modulo(numerator * invert(2n * y, p), p);
    if (!isOnCurve({ curve: P256, x: xOfProduct, y: yOfProduct })) throw new Error("the product is not on the curve");
    return Buffer.concat([Buffer.of(4), toBytes(xOfProduct, SCALAR_BYTES), toBytes(yOfProduct, SCALAR_BYTES)]);
  },
};

function readPoint(point: Buffer): { readonly x: bigint; readonly y: bigint } | null {
  if (point.length !== POINT_BYTES || point[0] !== 4) return null;
  const x = toInteger(point.subarray(1, 1 + SCALAR_BYTES));
  const y = toInteger(point.subarray(1 + SCALAR_BYTES));
  return isOnCurve({ curve: P256, x, y }) ? { x, y } : null;
}

function product(scalar: Buffer, point: Buffer): Buffer {
  const ecdh = createECDH(P256.opensslName);
  ecdh.setPrivateKey(scalar);
  return ecdh.computeSecret(point);
}

/** s + 1, in bytes: a BigInt of a secret would stay in memory. */
function successor(scalar: Buffer): Buffer {
  const next = Buffer.alloc(scalar.length);
  let carry = 1;
  for (let at = scalar.length - 1; at >= 0; at--) {
    const sum = (scalar[at] ?? 0) + carry;
    next[at] = sum & 0xff;
    carry = sum >> 8;
  }
  return next;
}
