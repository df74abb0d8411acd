// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { cosign, findCosignature, formatCosignature, isCosigned } from "../../../../src/formats/log/cosignature.ts";
import { COSIGNATURE, formatVerifier, parseNote, parseVerifier } from "../../../../src/formats/log/note.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const checkpoint = { origin: "nightlatch/x", size: 7, root: randomBytes(32) };
const witness = { origin: "nightlatch/y/witness", publicKey };

/** A checkpoint of a public log, and what public witnesses said of it in May 2026. */
const SEEN = `arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
`;
const SEEN_LOG = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const SEEN_WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

test("a public witness's cosignature of a public log's checkpoint holds, and of another size it does not", () => {
  const log = parseVerifier(SEEN_LOG);
  const by = parseVerifier(SEEN_WITNESS, COSIGNATURE);
  assert.ok(log !== null && by !== null);
  assert.equal(formatVerifier(by.origin, by.publicKey, COSIGNATURE), SEEN_WITNESS);
  const seen = parseNote(SEEN, log.publicKey);
  const cosignature = findCosignature(SEEN, by);
  assert.ok(seen !== null && cosignature !== null);
  assert.equal(new Date(cosignature.seconds * 1000).toISOString(), "2026-05-23T21:50:24.000Z");
  assert.ok(isCosigned(seen, cosignature, by.publicKey));
  assert.ok(SEEN.includes(formatCosignature(cosignature, by)));
  for (const changed of [
    { ...seen, size: seen.size + 1 },
    { ...seen, origin: "other" },
  ]) {
    assert.equal(isCosigned(changed, cosignature, by.publicKey), false);
  }
});

test("the specification's own example: its time, under its name", () => {
  const line =
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
  const blob = Buffer.from(line.split(" ")[2] ?? "", "base64");
  assert.equal(blob.length, 76);
  assert.equal(blob.readBigUInt64BE(4), 1_679_315_147n);
});

test("a cosignature survives being written and found; it covers origin, size, root and time", () => {
  const made = cosign(checkpoint, 1_800_000_000, privateKey);
  const line = formatCosignature(made, witness);
  const other = { ...witness, publicKey: generateKeyPairSync("ed25519").publicKey };
  assert.deepEqual(findCosignature(line, witness), made);
  assert.deepEqual(findCosignature(`${formatCosignature(made, other)}${line}`, witness), made);
  assert.ok(isCosigned(checkpoint, made, publicKey));
  for (const changed of [{ origin: "nightlatch/z" }, { size: 8 }, { root: randomBytes(32) }]) {
    assert.equal(isCosigned({ ...checkpoint, ...changed }, made, publicKey), false);
  }
  assert.equal(isCosigned(checkpoint, { ...made, seconds: made.seconds + 1 }, publicKey), false);
  assert.equal(findCosignature(line, other), null);
  assert.equal(findCosignature(line, { ...witness, origin: "nightlatch/y" }), null);
});

test("a key of a log is none of a witness, and the other way round", () => {
  assert.equal(parseVerifier(formatVerifier("a", publicKey), COSIGNATURE), null);
  assert.equal(parseVerifier(formatVerifier("a", publicKey, COSIGNATURE)), null);
  const text = formatVerifier("a", publicKey, COSIGNATURE);
  assert.equal(parseVerifier(text.replace("a+", "b+"), COSIGNATURE), null);
  assert.deepEqual(parseVerifier(text, COSIGNATURE)?.origin, "a");
});

test("a time that is too large, bits beyond the text, and what is no line are passed over", () => {
  const line = formatCosignature(cosign(checkpoint, 5, privateKey), witness);
  const blob = Buffer.from(line.trimEnd().split(" ")[2] ?? "", "base64");
  blob.fill(0xff, 4, 12);
  for (const wrong of [
    `— ${witness.origin} ${blob.toString("base64")}\n`,
    line.replace(/..==\n$/, "//==\n"),
    line.trimEnd(),
    line.replace("— ", "- "),
    line.repeat(17),
    "",
  ]) {
    assert.equal(findCosignature(wrong, witness), null, wrong.slice(0, 90));
  }
});

test("no text makes the reader throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(findCosignature(Buffer.from(bytes).toString(), witness), null);
    }),
  );
});
