// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { formatWrappedKey, parseWrappedKey } from "../../../../src/formats/pkcs11/wrapped-key.ts";

test("a key is written as jose prints it, and read back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const key = Buffer.from(bytes);
      const text = formatWrappedKey(key).reveal().toString();
      const k = key.toString("base64url");
      assert.equal(text, `{"alg":"A256GCM","k":"${k}","key_ops":["encrypt","decrypt"],"kty":"oct"}`);
      assert.deepEqual(parseWrappedKey(Buffer.from(text)).reveal(), key);
    }),
  );
});

test("its other members, their order and blanks do not matter", () => {
  const key = randomBytes(32);
  const k = key.toString("base64url");
  for (const text of [`{"k":"${k}"}`, `{ "kty" : "oct",\n "k" :\t"${k}" }`]) {
    assert.deepEqual(parseWrappedKey(Buffer.from(text)).reveal(), key);
  }
});

test("what is no such key is refused", () => {
  const k = randomBytes(32).toString("base64url");
  const texts = [
    "",
    "{}",
    '{"k"',
    '{"k":',
    `{"k":"${k}`,
    `{"k":"${k.slice(1)}"}`,
    `{"k":"${k}A"}`,
    `{"k":1}`,
    `{"k":"+${k.slice(1)}"}`,
  ];
  for (const text of texts) {
    assert.throws(() => parseWrappedKey(Buffer.from(text)), { code: "pin/wrong-key" }, text);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        parseWrappedKey(bytes);
      } catch (error) {
        assert.ok(isError(error, "pin/wrong-key"));
      }
    }),
  );
});
