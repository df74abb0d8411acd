import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { combineShares, dealShares, parseSssPin, sssHeader } from "../../../../src/formats/clevis/sss.ts";
import { modulo, toBytes, toInteger } from "../../../../src/formats/jose/curve.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";

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

test("what is dealt is given by any t shares, and by no fewer", () => {
  const threshold = fc.integer({ min: 1, max: 6 });
  const cases = threshold.chain((t) =>
    fc.tuple(fc.constant(t), fc.integer({ min: t, max: 8 }), fc.infiniteStream(fc.nat())),
  );
  fc.assert(
    fc.property(cases, ([threshold, count, draws]) => {
      const { secret, shares } = dealShares(prime, { threshold, count }, randomBytes);
      assert.equal(shares.length, count);
      const order = shares.map((share) => ({ share, at: draws.next().value ?? 0 })).sort((a, b) => a.at - b.at);
      const chosen = order.map(({ share }) => share.reveal());
      assert.deepEqual(combineShares(prime, chosen.slice(0, threshold)).reveal(), secret.reveal());
      if (threshold > 1) {
        assert.notDeepEqual(combineShares(prime, chosen.slice(0, threshold - 1)).reveal(), secret.reveal());
      }
    }),
  );
});

test("draws that are no element, and places that are taken, are drawn again", () => {
  const draws = [prime, toBytes(7n, 32), toBytes(0n, 32), toBytes(1n, 32), toBytes(1n, 32), toBytes(2n, 32)];
  const random = (length: number) => {
    const next = Buffer.from(draws.shift() ?? assert.fail());
    assert.equal(next.byteLength, length);
    return next;
  };
  const { secret, shares } = dealShares(prime, { threshold: 1, count: 2 }, random);
  assert.deepEqual(secret.reveal(), toBytes(7n, 32));
  assert.deepEqual(
    shares.map((share) => share.reveal()),
    [1n, 2n].map((x) => Buffer.concat([toBytes(x, 32), toBytes(7n, 32)])),
  );
  assert.deepEqual(draws, []);
});

test("the header that is written is read back", () => {
  const child = { protected: "e30", encrypted_key: "", iv: "A".repeat(16), ciphertext: "", tag: "A".repeat(22) };
  const pin = { threshold: 1, prime, children: [child, child] };
  const header = sssHeader(pin);
  const clevis = header["clevis"] as { readonly sss: JsonObject };
  assert.deepEqual(parseSssPin({ name: "sss", header, configuration: clevis.sss }), pin);
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
    assert.throws(() => combineShares(prime, shares), { code: "pin/wrong-shares", message });
  });
}

test("a share of another set is given by one code, be it in range of this set's prime or not", () => {
  const own = shareOf([1n, 2n], 3n);
  const outcomeOf = (y: bigint) => {
    const foreign = Buffer.concat([toBytes(5n, 32), toBytes(y, 32)]);
    try {
      // Another secret than the set's: that it is, shows when the binding is decrypted by it.
      return combineShares(prime, [own, foreign]).reveal().equals(toBytes(1n, 32)) ? "opened" : "pin/wrong-shares";
    } catch (error) {
      return error instanceof NightlatchError ? error.code : String(error);
    }
  };
  fc.assert(
    fc.property(fc.bigInt({ min: 12n, max: 2n ** 256n - 1n }), (y) => {
      assert.equal(outcomeOf(y), "pin/wrong-shares");
    }),
    { examples: [[P - 1n], [P], [2n ** 256n - 1n]] },
  );
  assert.equal(outcomeOf(11n), "opened");
});

test("a modulus that is no prime is found out where it matters", () => {
  const shares = [1n, 4n].map((x) => Buffer.concat([toBytes(x, 1), toBytes(1n, 1)]));
  assert.throws(() => combineShares(Buffer.of(9), shares), {
    code: "clevis/malformed",
    message: "the shares' prime is none",
  });
});
