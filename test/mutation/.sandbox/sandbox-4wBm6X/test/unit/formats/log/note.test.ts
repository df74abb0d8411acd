// @ts-nocheck
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatNote,
  formatVerifier,
  isSignedCheckpoint,
  parseNote,
  signCheckpoint,
} from "../../../../src/formats/log/note.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const checkpoint = signCheckpoint({ origin: "nightlatch/x", size: 7, root: randomBytes(32) }, privateKey);

test("the verifier key of the signed note's own example (golang.org/x/mod/sumdb/note)", () => {
  const encoded = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const key = Buffer.from(encoded, "base64").subarray(1);
  const peter = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") }, format: "jwk" });
  assert.equal(formatVerifier("PeterNeumann", peter), `PeterNeumann+c74f20a3+${encoded}`);
});

test("a note survives being written and read, with the signatures of others beside ours", () => {
  const text = formatNote(checkpoint, publicKey);
  assert.ok(text.startsWith(`nightlatch/x\n7\n${checkpoint.root.toString("base64")}\n\n— nightlatch/x `));
  assert.deepEqual(parseNote(text, publicKey), checkpoint);
  const witnessed = `${text}— witness.example ${randomBytes(68).toString("base64")}\n`;
  assert.deepEqual(parseNote(witnessed, publicKey), checkpoint);
  assert.ok(isSignedCheckpoint(checkpoint, publicKey));
});

test("the signature covers the origin, the size and the root", () => {
  for (const changed of [
    { origin: "nightlatch/y" },
    { size: 8 },
    { root: randomBytes(32) },
    { signature: randomBytes(64) },
  ]) {
    assert.equal(isSignedCheckpoint({ ...checkpoint, ...changed }, publicKey), false);
  }
});

test("what is not a checkpoint of this key is none", () => {
  const text = formatNote(checkpoint, publicKey);
  const other = generateKeyPairSync("ed25519").publicKey;
  assert.equal(parseNote(text, other), null);
  for (const wrong of [
    "",
    text.trimEnd(),
    text.replace("\n7\n", "\n07\n"),
    text.replace("\n7\n", "\n-7\n"),
    text.replace("\n\n", "\n"),
    text.replace("— ", "- "),
    text.replace("nightlatch/x\n", "nightlatch x\n"),
    text.repeat(2),
    `${text}${"— a b\n".repeat(400)}`,
  ]) {
    assert.equal(parseNote(wrong, publicKey), null, wrong.slice(0, 120));
  }
});

test("no text makes the reader throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.equal(parseNote(text, publicKey), null);
    }),
  );
});
