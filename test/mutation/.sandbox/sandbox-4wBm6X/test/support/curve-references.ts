// @ts-nocheck
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { CURVES, type Curve, type Point } from "../../src/formats/jose/curve.ts";

/** Our curves, each beside an implementation that has nothing to do with ours. */
export const REFERENCES = [
  [CURVES["P-256"], p256],
  [CURVES["P-384"], p384],
  [CURVES["P-521"], p521],
] as const;

export type Reference = (typeof REFERENCES)[number][1];

/** `scalar` times a point, the base point where none is given, by the reference. */
export const product = (curve: Curve, reference: Reference, scalar: bigint, base = reference.Point.BASE): Point => ({
  curve,
  ...base.multiply(scalar).toAffine(),
});
