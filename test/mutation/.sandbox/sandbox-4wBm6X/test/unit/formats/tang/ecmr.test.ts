// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { addPoints, CURVES, isOnCurve, toBytes, toInteger } from "../../../../src/formats/jose/curve.ts";
import {
  beginRecovery,
  createMultiplier,
  drawScalar,
  isUsableScalar,
  provision,
} from "../../../../src/formats/tang/ecmr.ts";
import { product, REFERENCES } from "../../../support/curve-references.ts";

for (const [curve, reference] of REFERENCES) {
  const usable = fc.bigInt({ min: 2n, max: curve.n - 3n });

  test(`${curve.name}: the whole product is that of an independent implementation`, () => {
    fc.assert(
      fc.property(usable, fc.bigInt({ min: 1n, max: curve.n - 1n }), (scalar, other) => {
        const point = product(curve, reference, other);
        const expected = product(curve, reference, scalar, reference.Point.fromAffine(point));
        const multiplier = createMultiplier(curve, toBytes(scalar, curve.lengthBytes));
        assert.deepEqual(multiplier.multiply(point), expected);
      }),
      { numRuns: 8 },
    );
  });

  test(`${curve.name}: the smallest and the largest usable scalars multiply rightly; their neighbours are refused`, () => {
    const point = product(curve, reference, 12345n);
    for (const scalar of [2n, 3n, curve.n - 4n, curve.n - 3n]) {
      const multiplier = createMultiplier(curve, toBytes(scalar, curve.lengthBytes));
      assert.deepEqual(
        multiplier.multiply(point),
        product(curve, reference, scalar, reference.Point.fromAffine(point)),
      );
    }
    const ones = 2n ** BigInt(curve.lengthBytes * 8) - 1n;
    for (const scalar of [0n, 1n, curve.n - 2n, curve.n - 1n, curve.n, curve.n + 1n, ones]) {
      const bytes = toBytes(scalar, curve.lengthBytes);
      assert.ok(!isUsableScalar(curve, bytes));
      assert.throws(() => createMultiplier(curve, bytes), RangeError);
    }
    assert.ok(!isUsableScalar(curve, toBytes(5n, curve.lengthBytes + 1)));
  });

  test(`${curve.name}: a point off the curve is not multiplied`, () => {
    const point = product(curve, reference, 9n);
    const multiplier = createMultiplier(curve, toBytes(77n, curve.lengthBytes));
    assert.throws(() => multiplier.multiply({ ...point, y: point.y ^ 1n }), { code: "jwk/off-curve" });
  });

  test(`${curve.name}: recovery gives what provisioning derived, and nothing else`, () => {
    fc.assert(
      fc.property(usable, (secret) => {
        const server = createMultiplier(curve, toBytes(secret, curve.lengthBytes));
        const serverKey = product(curve, reference, secret);
        const { ephemeral, sharedX } = provision(serverKey, randomBytes);
        assert.ok(isOnCurve(ephemeral));
        assert.equal(
          toInteger(sharedX),
          product(curve, reference, secret, reference.Point.fromAffine(ephemeral)).x,
          "K is sC",
        );
        const recovery = beginRecovery(ephemeral, serverKey, randomBytes);
        assert.ok(isOnCurve(recovery.request));
        const candidates = recovery.finish(server.multiply(recovery.request));
        assert.equal(candidates.filter((candidate) => candidate.equals(sharedX)).length, 1);

        const other = createMultiplier(curve, toBytes(secret === 2n ? 3n : secret - 1n, curve.lengthBytes));
        const wrong = recovery.finish(other.multiply(recovery.request));
        assert.ok(wrong.every((candidate) => !candidate.equals(sharedX)));
      }),
      { numRuns: 5 },
    );
  });

  test(`${curve.name}: two recoveries of one binding ask with different points, and never with C`, () => {
    const serverKey = product(curve, reference, 424242n);
    const { ephemeral } = provision(serverKey, randomBytes);
    const [one, two] = [
      beginRecovery(ephemeral, serverKey, randomBytes),
      beginRecovery(ephemeral, serverKey, randomBytes),
    ];
    assert.notEqual(one.request.x, two.request.x);
    assert.notEqual(one.request.x, ephemeral.x);
  });

  test(`${curve.name}: a scalar that is out of range, or cancels C, is drawn again`, () => {
    const drawn = [curve.n - 2n, 1n, 0n, 99n].map((scalar) => toBytes(scalar, curve.lengthBytes));
    assert.equal(toInteger(drawScalar(curve, () => drawn.shift() ?? assert.fail("drawn too often"))), 99n);

    const serverKey = product(curve, reference, 31337n);
    const ephemeral = product(curve, reference, 1000n);
    const cancelling = [curve.n - 1000n, 17n].map((scalar) => toBytes(scalar, curve.lengthBytes));
    const recovery = beginRecovery(ephemeral, serverKey, () => cancelling.shift() ?? assert.fail("drawn too often"));
    assert.deepEqual(recovery.request, product(curve, reference, 1017n));
  });

  test(`${curve.name}: an answer that leaves the point at infinity is refused`, () => {
    const serverKey = product(curve, reference, 31337n);
    const recovery = beginRecovery(product(curve, reference, 1000n), serverKey, () => toBytes(17n, curve.lengthBytes));
    const blind = product(curve, reference, 17n, reference.Point.fromAffine(serverKey));
    assert.throws(() => recovery.finish(blind), { code: "tang/malformed" });
    assert.ok(addPoints(blind, blind));
  });
}

test("a drawn scalar fills its curve's bits, and no bit above them", () => {
  const ones = (lengthBytes: number) => Buffer.alloc(lengthBytes, 0xff);
  let calls = 0;
  const draw = (lengthBytes: number) => (calls++ === 0 ? ones(lengthBytes) : Buffer.alloc(lengthBytes, 0x7f));
  const scalar = drawScalar(CURVES["P-521"], draw);
  assert.equal(calls, 2, "2^521−1 is above the order");
  assert.equal(scalar[0], 0x01);
});
