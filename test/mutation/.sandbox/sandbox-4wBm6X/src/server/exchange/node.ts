// @ts-nocheck
import { CURVES, isOnCurve, type Point, toInteger } from "../../formats/jose/curve.ts";
import { createMultiplier, encodePoint } from "../../formats/tang/ecmr.ts";
import { type Exchange, POINT_BYTES, SCALAR_BYTES } from "./port.ts";

const P256 = CURVES["P-256"];

/**
 * The exchange over node:crypto, for a Node that does not export OpenSSL's own arithmetic. It gives
 * only the x of a product; formats/tang/ecmr.ts says how a second product tells the y.
 */
export const nodeExchange: Exchange = {
  name: "node",
  isPoint: (point) => readPoint(point) !== null,
  multiply(scalar, point) {
    const read = readPoint(point);
    if (read === null) throw new RangeError("not a point of P-256");
    const product = createMultiplier(P256, scalar).multiply(read);
    if (!isOnCurve(product)) throw new Error("the product is not on the curve");
    return encodePoint(product);
  },
};

/** Null where the bytes are not a point of the curve, uncompressed. */
function readPoint(point: Buffer): Point | null {
  if (point.length !== POINT_BYTES || point[0] !== 4) return null;
  const x = toInteger(point.subarray(1, 1 + SCALAR_BYTES));
  const y = toInteger(point.subarray(1 + SCALAR_BYTES));
  const read = { curve: P256, x, y };
  return isOnCurve(read) ? read : null;
}
