// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Json, parseJson } from "../../../../src/formats/json/json.ts";

const parse = (text: string, lengthBytes = 65536, depth = 16): Json =>
  parseJson(text, "the test", { lengthBytes, depth });
const plain = (value: Json): unknown => JSON.parse(JSON.stringify(value));

test("reads what JSON.parse reads, to the same value", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      // fast-check may repeat no key within one object, so the two agree on everything
      assert.deepEqual(plain(parse(text)), JSON.parse(text));
    }),
  );
});

test("refuses what JSON.parse refuses", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"',
    "1",
    "01",
    "-",
    ".5",
    "true",
    "nul",
    " ",
    "\\",
    "\n",
    "\u0000",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        assert.throws(() => parse(text), { code: /^json\// });
        return;
      }
      try {
        assert.deepEqual(plain(parse(text)), expected);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "json/duplicate-key");
      }
    }),
    { numRuns: 2000 },
  );
});

test("never throws anything but its own errors, whatever the bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        parseJson(bytes, "the test", { lengthBytes: 64 });
      } catch (error) {
        assert.match(String((error as { code?: string }).code), /^json\//);
      }
    }),
  );
});

test("a name that stands twice is refused, also spelled with an escape", () => {
  assert.throws(() => parse('{"a":1,"\\u0061":2}'), {
    code: "json/duplicate-key",
    message: 'the test names "a" twice',
  });
  assert.deepEqual(plain(parse('{"a":{"a":1}}')), { a: { a: 1 } });
});

test("length and depth are bounded", () => {
  assert.throws(() => parse(`"${"x".repeat(100)}"`, 100), { code: "json/too-large" });
  assert.throws(() => parse("[".repeat(100_000)), { code: "json/too-large" });
  assert.throws(() => parse("[[1]]", 100, 1), { code: "json/too-large", message: "the test is nested deeper than 1" });
});

test("a name such as __proto__ is a plain member", () => {
  const value = parse('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
  assert.equal(Object.getPrototypeOf(value), null);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("numbers that a double cannot hold, bad UTF-8 and a byte order mark are refused", () => {
  assert.throws(() => parse("1e999"), { code: "json/malformed" });
  assert.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), "the test", { lengthBytes: 10 }), {
    code: "json/malformed",
    message: "the test is not UTF-8",
  });
  assert.throws(() => parseJson(Buffer.from("\ufeff1"), "the test", { lengthBytes: 10 }), { code: "json/malformed" });
});
