// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addPoints,
  CURVES,
  type Curve,
  invert,
  isOnCurve,
  liftX,
  negatePoint,
  toBytes,
  toInteger,
} from "../../../../src/formats/jose/curve.ts";
import { product, REFERENCES } from "../../../support/curve-references.ts";

const scalarOf = (curve: Curve) => fc.bigInt({ min: 1n, max: curve.n - 1n });
for (const [curve, reference] of REFERENCES) {
  test(`${curve.name}: the parameters are those of an independent implementation`, () => {
    const parameters = reference.Point.CURVE();
    assert.equal(curve.p, parameters.p);
    assert.equal(curve.b, parameters.b);
    assert.equal(curve.n, parameters.n);
    assert.equal(parameters.a, curve.p - 3n);
    assert.equal(parameters.h, 1n);
    assert.equal(curve.p % 4n, 3n);
  });

  test(`${curve.name}: sums are those of an independent implementation`, () => {
    fc.assert(
      fc.property(scalarOf(curve), scalarOf(curve), (a, b) => {
        const sum = (a + b) % curve.n;
        const expected = sum === 0n ? null : product(curve, reference, sum);
        assert.deepEqual(addPoints(product(curve, reference, a), product(curve, reference, b)), expected);
      }),
      { numRuns: 10 },
    );
  });

  test(`${curve.name}: a point doubles, and with its negative is nothing`, () => {
    const point = product(curve, reference, 7n);
    assert.deepEqual(addPoints(point, point), product(curve, reference, 14n));
    assert.equal(addPoints(point, negatePoint(point)), null);
    assert.ok(isOnCurve(negatePoint(point)));
  });

  test(`${curve.name}: x lifts to the point or its negative; half of all x lift to none`, () => {
    const point = product(curve, reference, 11n);
    const lifted = liftX(curve, point.x);
    assert.ok(isOnCurve(lifted));
    assert.ok(lifted.y === point.y || lifted.y === curve.p - point.y);
    const barren = Array.from({ length: 64 }, (_, x) => BigInt(x)).filter((x) => {
      try {
        return !isOnCurve(liftX(curve, x));
      } catch (error) {
        assert.ok(error instanceof RangeError);
        return true;
      }
    });
    assert.ok(barren.length > 8 && barren.length < 56, String(barren.length));
  });

  test(`${curve.name}: a changed coordinate, or one that is not reduced, is off the curve`, () => {
    const point = product(curve, reference, 5n);
    assert.ok(isOnCurve(point));
    assert.ok(!isOnCurve({ ...point, x: point.x + 1n }));
    assert.ok(!isOnCurve({ ...point, y: point.y ^ 1n }));
    assert.ok(!isOnCurve({ ...point, x: point.x + curve.p }));
    assert.ok(!isOnCurve({ ...point, y: point.y - curve.p }));
    assert.ok(!isOnCurve({ curve, x: 0n, y: 0n }));
  });
}

test("an inverse times its number is one; a common factor has none", () => {
  const { p } = CURVES["P-384"];
  fc.assert(
    fc.property(fc.bigInt({ min: -(p ** 2n), max: p ** 2n }), (value) => {
      fc.pre(value % p !== 0n);
      const inverse = invert(value, p);
      assert.ok(inverse > 0n && inverse < p);
      assert.equal((((inverse * value) % p) + p) % p, 1n);
    }),
  );
  assert.throws(() => invert(6n, 9n), RangeError);
  assert.throws(() => invert(0n, p), RangeError);
});

test("integers and bytes are the same number, of the length that is asked for", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      assert.deepEqual(toBytes(toInteger(bytes), bytes.length), Buffer.from(bytes));
    }),
  );
});
