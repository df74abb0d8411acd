import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../src/core/errors.ts";
import { formatIntent, type Intent, parseIntent, tokenDigest } from "../../src/formats/intent.ts";
import type { Json, JsonObject } from "../../src/formats/json.ts";

const DIGEST = "A".repeat(43);
const INTENT: Intent = {
  operation: "rebind",
  adds: { keyslot: 5, iterations: 1377, digest: DIGEST },
  removes: [
    { keyslot: 1, salt: "c2FsdA==", digest: DIGEST },
    { keyslot: null, salt: null, digest: DIGEST },
  ],
};

test("an intent survives its token", () => {
  assert.deepEqual(parseIntent(formatIntent(INTENT)), INTENT);
  const unbind: Intent = { operation: "unbind", adds: null, removes: INTENT.removes };
  assert.deepEqual(parseIntent(JSON.parse(JSON.stringify(formatIntent(unbind))) as Json), unbind);
});

test("a token of another type is no intent; one of ours that is not understood is refused", () => {
  assert.equal(parseIntent({ type: "clevis", keyslots: [] }), null);
  assert.equal(parseIntent(null), null);
  const good = formatIntent(INTENT);
  const adds = good["adds"] as JsonObject;
  const bad: readonly JsonObject[] = [
    { ...good, version: 2 },
    { ...good, more: 1 },
    { ...good, operation: "erase" },
    { ...good, removes: {} },
    { ...good, removes: Array.from({ length: 33 }, () => ({ keyslot: null, salt: null, digest: DIGEST })) },
    { ...good, adds: [] },
    { ...good, adds: { ...adds, keyslot: 32 } },
    { ...good, adds: { ...adds, iterations: 1000 } },
    { ...good, adds: { ...adds, iterations: 2025 } },
    { ...good, adds: { ...adds, digest: "short" } },
    { ...good, removes: [{ keyslot: null, salt: "x", digest: DIGEST }] },
    { ...good, removes: [{ keyslot: 1, salt: null, digest: DIGEST }] },
  ];
  for (const token of bad) {
    assert.throws(
      () => parseIntent(token),
      (error) => {
        assert.ok(isError(error, "luks/unknown-intent"), JSON.stringify(token));
        assert.equal(error.message, "the volume holds a note of Nightlatch's that this version cannot read");
        return true;
      },
    );
  }
});

test("no token makes the parser do anything but answer or refuse", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("adds", "removes", "version", "operation", "keyslots"), fc.jsonValue()),
      (token) => {
        try {
          parseIntent({ type: "nightlatch-intent", ...(token as JsonObject) });
        } catch (error) {
          assert.ok(error instanceof NightlatchError, String(error));
        }
      },
    ),
  );
});

test("a digest names what a token holds, whatever its keyslots and the order of its members", () => {
  const token: JsonObject = { type: "clevis", keyslots: ["1"], jwe: { b: [1, { d: "é", c: null }], a: true } };
  const same: JsonObject = { jwe: { a: true, b: [1, { c: null, d: "é" }] }, keyslots: [], type: "clevis" };
  const written = '{"jwe":{"a":true,"b":[1,{"c":null,"d":"é"}]},"type":"clevis"}';
  assert.equal(tokenDigest(token), createHash("sha256").update(written).digest("base64url"));
  assert.equal(tokenDigest(same), tokenDigest(token));
  assert.notEqual(tokenDigest({ ...token, jwe: { ...(token["jwe"] as JsonObject), a: false } }), tokenDigest(token));
});
