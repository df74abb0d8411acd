// @ts-nocheck
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import type { Json, JsonObject } from "../../../../src/formats/json/json.ts";
import {
  formatIntent,
  formatIntentRecord,
  type Intent,
  type IntentRecord,
  parseIntent,
  parseIntentRecord,
  tokenDigest,
} from "../../../../src/formats/own/intent.ts";

const DIGEST = "A".repeat(43);
const ID = "i".repeat(22);
const INTENT: Intent = {
  id: ID,
  operation: "rebind",
  adds: { keyslot: 5, iterations: 1377, digest: DIGEST },
  removes: [
    { keyslot: 1, salt: "c2FsdA==", digest: DIGEST },
    { keyslot: null, salt: null, digest: DIGEST },
  ],
};

test("an intent survives its token", () => {
  assert.deepEqual(parseIntent(formatIntent(INTENT)), INTENT);
  const unbind: Intent = { id: ID, operation: "unbind", adds: null, removes: INTENT.removes };
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
    { ...good, id: "short" },
    { ...good, id: null },
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
        assert.equal(error.message, "a note of Nightlatch's that this version cannot read");
        return true;
      },
    );
  }
});

test("a record survives its file; one that is not understood is refused", () => {
  const record: IntentRecord = { intent: INTENT, device: "/dev/vdb", salts: ["c2FsdA==", "bW9yZQ=="] };
  assert.deepEqual(parseIntentRecord(JSON.parse(JSON.stringify(formatIntentRecord(record))) as Json), record);
  const good = formatIntentRecord(record);
  const bad: readonly Json[] = [
    null,
    formatIntent(INTENT),
    { ...good, version: 2 },
    { ...good, more: 1 },
    { ...good, device: 1 },
    { ...good, salts: "c2FsdA==" },
    { ...good, salts: [""] },
    { ...good, salts: Array.from({ length: 33 }, () => "c2FsdA==") },
    { ...good, intent: null },
    { ...good, intent: { ...formatIntent(INTENT), id: "short" } },
  ];
  for (const json of bad) {
    assert.throws(
      () => parseIntentRecord(json),
      (error) => isError(error, "luks/unknown-intent"),
      JSON.stringify(json),
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
