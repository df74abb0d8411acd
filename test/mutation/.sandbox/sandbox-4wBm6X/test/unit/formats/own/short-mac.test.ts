// @ts-nocheck
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { ShortMac } from "../../../../src/formats/own/short-mac.ts";

const LABEL = "nightlatch-test\0";
const bytes = (lengthBytes: number, first: number) =>
  Buffer.from(Array.from({ length: lengthBytes }, (_, index) => (first + index * 151) & 255));

test("it is the HMAC that node:crypto gives, for every length and key", () => {
  // The lengths around which a digest takes one block more are among them.
  for (let lengthBytes = 0; lengthBytes <= 130; lengthBytes++) {
    const mac = new ShortMac(LABEL, lengthBytes);
    for (const first of [0, 7, 255]) {
      const [key, message] = [bytes(32, first), bytes(lengthBytes, first + 1)];
      const expected = createHmac("sha256", key).update(LABEL, "latin1").update(message).digest();
      assert.deepEqual(Buffer.from(mac.put(message, lengthBytes, 0).of(key)), expected, `${lengthBytes} bytes`);
    }
  }
});

test("a message is put together of pieces, and one under another key leaves nothing behind", () => {
  const mac = new ShortMac(LABEL, 20);
  const [one, other] = [bytes(12, 3), bytes(8, 90)];
  const under = (key: Buffer) => Buffer.from(mac.put(one, 12, 0).put(other, 8, 12).of(key));
  const first = under(bytes(32, 1));
  const expected = createHmac("sha256", bytes(32, 1)).update(LABEL, "latin1").update(one).update(other).digest();
  assert.deepEqual(first, expected);
  assert.notDeepEqual(under(bytes(32, 2)), first);
  assert.deepEqual(under(bytes(32, 1)), first);
});

test("a key of another length is no key", () => {
  for (const lengthBytes of [0, 31, 33, 64])
    assert.throws(() => new ShortMac(LABEL, 1).of(bytes(lengthBytes, 0)), RangeError);
});
