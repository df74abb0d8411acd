// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { Secret } from "../../../src/core/secret.ts";

const KEY = "correct horse battery staple";
const fresh = (): Secret => Secret.copy(Buffer.from(KEY));

test("no way of printing shows the bytes", () => {
  const secret = fresh();
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret, { showHidden: true, depth: 9 }),
    format("%o %s %j", secret, secret, secret),
    JSON.stringify(structuredClone({ ...secret })),
  ].join("\n");
  for (const encoding of ["utf8", "hex", "base64", "base64url"] as const) {
    assert.ok(!shown.includes(Buffer.from(KEY).toString(encoding)), shown);
  }
});

test("wiping zeroes the very bytes and ends the secret", () => {
  const secret = fresh();
  const bytes = secret.reveal();
  assert.equal(bytes.toString(), KEY);
  secret.wipe();
  assert.ok(bytes.every((byte) => byte === 0));
  assert.throws(() => secret.reveal(), { name: "TypeError", message: "secret was wiped" });
  secret.wipe();
});

test("a copy owns memory outside Node's shared pool", () => {
  const secret = fresh();
  assert.equal(secret.reveal().buffer.byteLength, secret.lengthBytes);
});

test("leaving the block wipes", () => {
  let bytes: Buffer;
  {
    using secret = fresh();
    bytes = secret.reveal();
  }
  assert.ok(bytes.every((byte) => byte === 0));
});
