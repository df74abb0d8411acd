// @ts-nocheck
import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import {
  concatKdf,
  decryptJwe,
  encryptJwe,
  type FlattenedJwe,
  formatCompactJwe,
  formatFlattenedJwe,
  parseCompactJwe,
  parseFlattenedJwe,
  parseJweHeader,
} from "../../../../src/formats/jose/jwe.ts";
import type { Json, JsonObject } from "../../../../src/formats/json/json.ts";

const b64 = (text: string) => Buffer.from(text).toString("base64url");

test("RFC 7518 appendix C: the key that Alice and Bob agree on", () => {
  const alice = createECDH("prime256v1");
  alice.setPrivateKey(Buffer.from("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo", "base64url"));
  const bob = Buffer.concat([
    Buffer.of(4),
    Buffer.from("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ", "base64url"),
    Buffer.from("e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck", "base64url"),
  ]);
  const key = concatKdf(alice.computeSecret(bob), {
    algorithm: "A128GCM",
    lengthBytes: 16,
    partyU: Buffer.from("Alice"),
    partyV: Buffer.from("Bob"),
  });
  assert.equal(key.reveal().toString("base64url"), "VqqN6vgjbSBcIijNcacQGg");
});

test("a longer key than one hash begins with the shorter one's rounds, and is no repetition", () => {
  const derive = (lengthBytes: number) => concatKdf(Buffer.from("z"), { algorithm: "A256GCM", lengthBytes }).reveal();
  assert.equal(derive(80).length, 80);
  assert.notDeepEqual(derive(64).subarray(0, 32), derive(64).subarray(32));
});

test("what was encrypted opens, in both forms; with another key, or changed anywhere, it does not", () => {
  const key = randomBytes(32);
  const jwe = encryptJwe({ alg: "dir", enc: "A256GCM" }, key, randomBytes(12), Buffer.from("secret"));
  const wire = JSON.parse(JSON.stringify(formatFlattenedJwe(jwe)));
  assert.deepEqual(Object.keys(wire), ["ciphertext", "encrypted_key", "iv", "protected", "tag"]);
  assert.deepEqual(parseFlattenedJwe(wire), jwe);
  assert.deepEqual(parseCompactJwe(`${formatCompactJwe(jwe)}\n`), jwe);
  assert.equal(decryptJwe(jwe, key).reveal().toString(), "secret");
  const wrong = { code: "jwe/wrong-key" };
  assert.throws(() => decryptJwe(jwe, randomBytes(32)), wrong);
  assert.throws(() => decryptJwe(jwe, randomBytes(16)), wrong);
  for (const member of ["protected", "iv", "ciphertext", "tag"] as const) {
    const bytes = Buffer.from(jwe[member], "base64url");
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    assert.throws(() => decryptJwe({ ...jwe, [member]: bytes.toString("base64url") }, key), wrong, member);
  }
});

test("an empty secret and a long one survive", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (plaintext) => {
      const key = randomBytes(32);
      const jwe = encryptJwe({ enc: "A256GCM" }, key, randomBytes(12), plaintext);
      assert.deepEqual(decryptJwe(jwe, key).reveal(), Buffer.from(plaintext));
    }),
    { numRuns: 20 },
  );
});

const GOOD: FlattenedJwe = {
  protected: b64('{"alg":"dir","enc":"A256GCM"}'),
  encrypted_key: "",
  iv: "A".repeat(16),
  ciphertext: "AAAA",
  tag: "A".repeat(22),
};

test("an absent encrypted key is an empty one; members that mean nothing to us are ignored", () => {
  const { encrypted_key: _none, ...rest } = GOOD;
  assert.deepEqual(parseFlattenedJwe({ ...rest, comment: 1 }), GOOD);
});

const WRONG: readonly (readonly [string, unknown, string, RegExp])[] = [
  ["no object", null, "jwe/malformed", /^the JWE is not a JSON object$/],
  ["no iv", { ...GOOD, iv: undefined }, "jwe/malformed", /no usable member iv/],
  ["a short iv", { ...GOOD, iv: "AAAA" }, "jwe/malformed", /no IV and tag of A256GCM/],
  ["a truncated tag", { ...GOOD, tag: "AAAAAA" }, "jwe/malformed", /no IV and tag of A256GCM/],
  ["no header", { ...GOOD, protected: "" }, "jwe/malformed", /has no protected header/],
  ["padding", { ...GOOD, ciphertext: "AA==" }, "jwe/malformed", /ciphertext of the JWE is not base64url/],
  ["aad", { ...GOOD, aad: "AA" }, "jwe/unsupported", /the member aad/],
  ["an unprotected header", { ...GOOD, header: {} }, "jwe/unsupported", /the member header/],
  ["a shared unprotected header", { ...GOOD, unprotected: {} }, "jwe/unsupported", /the member unprotected/],
  ["recipients", { ...GOOD, recipients: [] }, "jwe/unsupported", /the member recipients/],
  [
    "a huge ciphertext",
    { ...GOOD, ciphertext: "A".repeat((1 << 20) + 4) },
    "jwe/malformed",
    /larger than 1048576 bytes/,
  ],
];

for (const [name, json, code, message] of WRONG) {
  test(`a JWE is refused: ${name}`, () => assert.throws(() => parseFlattenedJwe(json as Json), { code, message }));
}

test("a compact JWE has five parts", () => {
  for (const text of ["", "a.b.c.d", `${formatCompactJwe(GOOD)}.`, `${formatCompactJwe(GOOD)}.AA`]) {
    assert.throws(() => parseCompactJwe(text), { code: "jwe/malformed" });
  }
});

test("an encrypted key is nothing that we can use", () => {
  assert.throws(() => decryptJwe({ ...GOOD, encrypted_key: "AAAA" }, randomBytes(32)), { code: "jwe/unsupported" });
});

const HEADERS: readonly (readonly [string, string, string, RegExp])[] = [
  ["not JSON", "{", "jwe/malformed", /^the header of the JWE is not usable JSON$/],
  ["not UTF-8", "\x80", "jwe/malformed", /not usable JSON/],
  ["a name twice", '{"enc":"A256GCM","enc":"A256GCM"}', "jwe/malformed", /not usable JSON/],
  ["a list", "[]", "jwe/malformed", /not a JSON object/],
  ["crit", '{"enc":"A256GCM","crit":["x"],"x":1}', "jwe/unsupported", /needs crit/],
  ["zip", '{"enc":"A256GCM","zip":"DEF"}', "jwe/unsupported", /needs zip/],
  ["another encryption", '{"enc":"A128CBC-HS256"}', "jwe/unsupported", /not encrypted with A256GCM/],
  ["no encryption", "{}", "jwe/unsupported", /not encrypted with A256GCM/],
];

for (const [name, text, code, message] of HEADERS) {
  test(`a header is refused: ${name}`, () => {
    const jwe = { ...GOOD, protected: Buffer.from(text, "latin1").toString("base64url") };
    assert.throws(() => parseJweHeader(jwe), { code, message });
  });
}

test("unknown members of a header are kept", () => {
  const header = parseJweHeader({ ...GOOD, protected: b64('{"enc":"A256GCM","future":[1]}') });
  assert.deepEqual({ ...header }, { enc: "A256GCM", future: [1] });
});

test("whatever is parsed, it is a JWE or an error with a code", () => {
  const text = fc.oneof(fc.string(), fc.base64String(), fc.constantFrom(...Object.values(GOOD)));
  const member = fc.record(
    { protected: text, encrypted_key: text, iv: text, ciphertext: text, tag: text },
    { requiredKeys: [] },
  );
  const parse = (read: () => FlattenedJwe) => {
    try {
      const jwe = read();
      parseJweHeader(jwe);
      decryptJwe(jwe, Buffer.alloc(32));
    } catch (error) {
      assert.ok(error instanceof NightlatchError && error.code.startsWith("jwe/"), String(error));
    }
  };
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), member), (json) => parse(() => parseFlattenedJwe(json as JsonObject))),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 7 }), (parts) => parse(() => parseCompactJwe(parts.join(".")))),
    { numRuns: 500 },
  );
});
