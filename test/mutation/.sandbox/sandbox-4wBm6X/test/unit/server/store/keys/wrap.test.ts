// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { Secret } from "../../../../../src/core/secret.ts";
import { MasterKey, type WrapContext } from "../../../../../src/server/store/keys/wrap.ts";

const master = new MasterKey(Secret.take(randomBytes(32)));
const context: WrapContext = { purpose: "exchange", id: "latch", epoch: 1 };
const damaged = { code: "store/damaged", message: "the exchange key of latch does not open under the master key" };

test("a wrapped key opens again, and no two wrappings are alike", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (plain) => {
      const wrapped = master.wrap(plain, context);
      assert.equal(wrapped.length, plain.length + 28);
      assert.notDeepEqual(master.wrap(plain, context), wrapped);
      using opened = master.unwrap(wrapped, context);
      assert.deepEqual(opened.reveal(), Buffer.from(plain));
    }),
  );
});

test("it opens at its own place only", () => {
  const wrapped = master.wrap(randomBytes(32), context);
  for (const other of [
    { ...context, id: "latch2" },
    { ...context, epoch: 2 },
  ] satisfies WrapContext[]) {
    assert.throws(() => master.unwrap(wrapped, other), { code: "store/damaged" });
  }
  assert.throws(() => master.unwrap(wrapped, { ...context, purpose: "signing" }), { code: "store/damaged" });
  using stranger = new MasterKey(Secret.take(randomBytes(32)));
  assert.throws(() => stranger.unwrap(wrapped, context), damaged);
});

test("every bit of it counts", () => {
  const wrapped = master.wrap(randomBytes(32), context);
  for (let index = 0; index < wrapped.length; index++) {
    const copy = Buffer.from(wrapped);
    copy[index] = (copy[index] ?? 0) ^ 1;
    assert.throws(() => master.unwrap(copy, context), damaged);
  }
  for (let length = 0; length < wrapped.length; length++) {
    assert.throws(() => master.unwrap(wrapped.subarray(0, length), context), damaged);
  }
});

test("a master key has one length, and is gone once disposed", () => {
  assert.throws(() => new MasterKey(Secret.take(randomBytes(16))), RangeError);
  const shortLived = new MasterKey(Secret.take(randomBytes(32)));
  shortLived[Symbol.dispose]();
  assert.throws(() => shortLived.wrap(randomBytes(1), context), TypeError);
});
