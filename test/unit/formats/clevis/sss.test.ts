import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { combineShares } from "../../../../src/formats/clevis/sss.ts";
import { modulo, toBytes, toInteger } from "../../../../src/formats/jose/curve.ts";

/** A safe prime of 256 bits, as `openssl prime -generate -safe -bits 256` gave it. */
const P = BigInt("0xD2D020E529F58919FDB9D0A3CFF72A2E0E858906B5D8884A4400CECCBE4DD55B");
const prime = toBytes(P, 32);

/** As clevis deals: a polynomial with the secret as its constant term. */
function shareOf(coefficients: readonly bigint[], x: bigint): Buffer {
  const y = coefficients.reduceRight((sum, coefficient) => modulo(sum * x + coefficient, P), 0n);
  return Buffer.concat([toBytes(x, 32), toBytes(y, 32)]);
}

const element = fc.bigInt({ min: 0n, max: P - 1n });
const places = (count: number) =>
  fc.uniqueArray(fc.bigInt({ min: 1n, max: P - 1n }), { minLength: count, maxLength: count });

test("any t shares give the secret; with one share changed they give another", () => {
  const dealt = fc
    .integer({ min: 1, max: 6 })
    .chain((t) => fc.tuple(fc.array(element, { minLength: t, maxLength: t }), places(t)));
  fc.assert(
    fc.property(dealt, ([coefficients, xs]) => {
      const shares = xs.map((x) => shareOf(coefficients, x));
      const secret = toBytes(coefficients[0] ?? assert.fail(), 32);
      assert.deepEqual(combineShares(prime, shares).reveal(), secret);
      const [first = assert.fail(), ...others] = shares;
      const changed = Buffer.concat([
        first.subarray(0, 32),
        toBytes(modulo(toInteger(first.subarray(32)) + 1n, P), 32),
      ]);
      assert.notDeepEqual(combineShares(prime, [changed, ...others]).reveal(), secret);
    }),
  );
});

test("a secret with zeros before it keeps its length", () => {
  assert.deepEqual(combineShares(prime, [shareOf([1n], 5n)]).reveal(), toBytes(1n, 32));
});

const good = shareOf([1n, 2n], 3n);
const WRONG: readonly (readonly [string, readonly Buffer[], RegExp])[] = [
  ["short", [good.subarray(1)], /another length/],
  ["long", [Buffer.concat([good, Buffer.of(0)])], /another length/],
  ["at zero, where the secret itself is", [Buffer.alloc(64, 0)], /out of range/],
  ["beyond the prime", [Buffer.concat([prime, toBytes(1n, 32)])], /out of range/],
  ["with a value beyond the prime", [Buffer.concat([toBytes(1n, 32), prime])], /out of range/],
  ["twice", [good, good], /two shares are the same/],
];

for (const [name, shares, message] of WRONG) {
  test(`a share is refused: ${name}`, () => {
    assert.throws(() => combineShares(prime, shares), { code: "clevis/malformed", message });
  });
}

test("a modulus that is no prime is found out where it matters", () => {
  const shares = [1n, 4n].map((x) => Buffer.concat([toBytes(x, 1), toBytes(1n, 1)]));
  assert.throws(() => combineShares(Buffer.of(9), shares), {
    code: "clevis/malformed",
    message: "the shares' prime is none",
  });
});
