// @ts-nocheck
import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { test } from "node:test";
import { p256 } from "@noble/curves/nist.js";
import fc from "fast-check";
import { chooseExchange } from "../../../../src/server/exchange/choose.ts";
import { nodeExchange } from "../../../../src/server/exchange/node.ts";
import { openOpensslExchange } from "../../../../src/server/exchange/openssl.ts";
import type { Exchange } from "../../../../src/server/exchange/port.ts";

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const openssl = openOpensslExchange();
const exchanges: readonly Exchange[] = openssl === null ? [nodeExchange] : [nodeExchange, openssl];

const bytesOf = (value: bigint) => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
const pointAt = (scalar: bigint) => Buffer.from(p256.Point.BASE.multiply(scalar).toBytes(false));
const reference = (scalar: bigint, point: Buffer) =>
  Buffer.from(p256.Point.fromHex(point.toString("hex")).multiply(scalar).toBytes(false));

const scalars = fc.oneof(
  fc.bigInt({ min: 2n, max: ORDER - 3n }),
  fc.bigInt({ min: 2n, max: 300n }),
  fc.bigInt({ min: ORDER - 300n, max: ORDER - 3n }),
);
const pointScalars = fc.oneof(fc.bigInt({ min: 1n, max: ORDER - 1n }), fc.constantFrom(1n, 2n, ORDER - 1n));

test("this Node gives OpenSSL's own multiplication, and the server takes it", () => {
  assert.notEqual(openssl, null);
  assert.equal(chooseExchange().name, "openssl");
});

for (const exchange of exchanges) {
  test(`${exchange.name}: sX is what the reference gives`, () => {
    fc.assert(
      fc.property(scalars, pointScalars, (s, x) => {
        const point = pointAt(x);
        assert.deepEqual(exchange.multiply(bytesOf(s), point), reference(s, point));
      }),
      { numRuns: 200 },
    );
  });

  test(`${exchange.name}: neither the scalar nor the point is changed`, () => {
    const [scalar, point] = [bytesOf(12345n), pointAt(678n)];
    exchange.multiply(scalar, point);
    assert.deepEqual([scalar, point], [bytesOf(12345n), pointAt(678n)]);
  });

  test(`${exchange.name}: what is not a point of the curve is refused`, () => {
    const scalar = bytesOf(0x1234567n);
    const good = pointAt(99n);
    const changed = (index: number, value: number) => {
      const copy = Buffer.from(good);
      copy[index] = value;
      return copy;
    };
    const wrong = [
      Buffer.alloc(0),
      Buffer.of(0), // SEC 1's encoding of infinity
      Buffer.alloc(65),
      Buffer.concat([Buffer.of(4), Buffer.alloc(64)]),
      Buffer.concat([Buffer.of(4), Buffer.alloc(64, 0xff)]),
      good.subarray(0, 64),
      Buffer.concat([good, Buffer.of(0)]),
      Buffer.from(p256.Point.BASE.toBytes(true)), // compressed
      changed(0, 0),
      changed(0, 6), // hybrid
      changed(64, (good[64] ?? 0) ^ 1),
      changed(1, (good[1] ?? 0) ^ 0x80),
    ];
    for (const point of wrong) {
      const told = { name: "RangeError", message: "not a point of P-256" };
      assert.throws(() => exchange.multiply(scalar, point), told, point.toString("hex"));
    }
    assert.deepEqual(exchange.multiply(scalar, good), reference(0x1234567n, good), "and it goes on afterwards");
  });

  test(`${exchange.name}: a refusal leaves no error behind for node:crypto`, () => {
    assert.throws(() => exchange.multiply(bytesOf(7n), Buffer.concat([Buffer.of(4), randomBytes(64)])), RangeError);
    const ecdh = createECDH("prime256v1");
    assert.equal(ecdh.generateKeys().length, 65);
  });
}

test("both give the same for points and scalars of chance", () => {
  for (let trial = 0; trial < 100; trial++) {
    const ecdh = createECDH("prime256v1");
    const point = ecdh.generateKeys();
    const scalar = bytesOf((BigInt(`0x${randomBytes(32).toString("hex")}`) % (ORDER - 4n)) + 2n);
    const [first, ...others] = exchanges.map((exchange) => exchange.multiply(scalar, point).toString("hex"));
    for (const other of others) assert.equal(other, first);
  }
});
