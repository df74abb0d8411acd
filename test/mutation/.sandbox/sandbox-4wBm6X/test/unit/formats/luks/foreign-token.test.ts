// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { describeForeign, foreignJson } from "../../../../src/bindings/foreign-token.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import { readForeignToken } from "../../../../src/formats/luks/foreign-token.ts";

const held = (json: JsonObject) => ({ id: 3, type: String(json["type"]), keyslots: [1], json, digest: "" });
const words = (json: JsonObject) => describeForeign(held(json));

/** As systemd 252 writes them, without their blobs. */
const TPM2 = {
  type: "systemd-tpm2",
  keyslots: ["1"],
  "tpm2-blob": "AAAA",
  "tpm2-pcrs": [7],
  "tpm2-pcr-bank": "sha256",
};
const FIDO2 = {
  type: "systemd-fido2",
  keyslots: ["1"],
  "fido2-credential": "AAAA",
  "fido2-salt": "AAAA",
  "fido2-rp": "io.systemd.cryptsetup",
  "fido2-clientPin-required": true,
  "fido2-up-required": true,
  "fido2-uv-required": false,
};
const PKCS11 = {
  type: "systemd-pkcs11",
  keyslots: ["1"],
  "pkcs11-uri": "pkcs11:token=ops;object=disk",
  "pkcs11-key": "AA==",
};
const KEYRING = { type: "luks2-keyring", keyslots: ["1"], key_description: "backup" };

test("what a TPM's token asks for: registers, bank, PIN, signed policy, pcrlock", () => {
  assert.equal(words(TPM2), "the TPM, with PCR 7 (sha256) as when it was enrolled, nothing is typed");
  const all = { ...TPM2, "tpm2-pcrs": [7, 0, 7], "tpm2-pin": true, tpm2_pubkey_pcrs: [11], tpm2_pcrlock: true };
  assert.equal(
    words(all),
    "the TPM, with PCR 0+7 (sha256) as when it was enrolled, with PCR 11 as a signed policy has it, " +
      "by systemd-pcrlock's policy, and a PIN that is typed",
  );
  assert.equal(words({ ...TPM2, "tpm2-pcrs": [] }), "the TPM, whatever was booted, nothing is typed");
  assert.deepEqual(foreignJson(held(all)), {
    kind: "tpm2",
    pcrs: [0, 7],
    bank: "sha256",
    pin: true,
    signedPcrs: [11],
    pcrlock: true,
  });
});

test("what cards, keys, recovery keys and the keyring ask for", () => {
  assert.equal(words(PKCS11), "a smart card and its PIN, pkcs11:token=ops;object=disk");
  assert.equal(words(FIDO2), "a FIDO2 key (io.systemd.cryptsetup): its PIN, a touch");
  const silent = { ...FIDO2, "fido2-clientPin-required": false, "fido2-up-required": false };
  assert.equal(words(silent), "a FIDO2 key (io.systemd.cryptsetup): nothing but its presence");
  const { "fido2-rp": _, "fido2-clientPin-required": __, ...old } = { ...FIDO2, "fido2-uv-required": true };
  assert.equal(
    words(old),
    "a FIDO2 key (io.systemd.cryptsetup): its PIN, if it wants one, a touch, its check of who it is",
  );
  assert.equal(words({ type: "systemd-recovery", keyslots: ["1"] }), "a recovery key, typed like a passphrase");
  assert.equal(words(KEYRING), "a passphrase in the kernel's keyring, backup");
  assert.equal(words({ type: "clevis", keyslots: ["1"] }), null);
  assert.deepEqual(foreignJson(held({ type: "other", keyslots: [] })), { kind: null });
});

test("a token that is not as its program writes it is damaged, and no part of it is told", () => {
  const damaged: JsonObject[] = [
    { ...TPM2, "tpm2-pcrs": [24] },
    { ...TPM2, "tpm2-pcrs": [-1] },
    { ...TPM2, "tpm2-pcrs": [7.5] },
    { ...TPM2, "tpm2-pcrs": Array.from({ length: 25 }, () => 7) },
    { ...TPM2, "tpm2-pcrs": "7" },
    { type: "systemd-tpm2", keyslots: ["1"] },
    { ...TPM2, "tpm2-pcr-bank": "sha256\u001b[2J" },
    { ...TPM2, "tpm2-pcr-bank": 11 },
    { ...TPM2, "tpm2-pin": "false" },
    { ...TPM2, tpm2_pubkey_pcrs: 11 },
    { ...TPM2, tpm2_pcrlock: 1 },
    { ...PKCS11, "pkcs11-uri": "http://evil/" },
    { ...PKCS11, "pkcs11-uri": `pkcs11:${"x".repeat(1024)}` },
    { ...FIDO2, "fido2-rp": "" },
    { ...FIDO2, "fido2-clientPin-required": null, "fido2-up-required": "no" },
    { ...FIDO2, "fido2-uv-required": 0 },
    { ...KEYRING, key_description: "" },
    { type: "luks2-keyring", keyslots: ["1"] },
  ];
  for (const token of damaged) {
    assert.deepEqual(readForeignToken(token), { kind: "damaged" }, JSON.stringify(token));
    assert.equal(words(token), "cannot be read: not as the program writes it");
  }
});

test("whatever a header holds is read or damaged, in one printable line", () => {
  const types = ["systemd-tpm2", "systemd-pkcs11", "systemd-fido2", "systemd-recovery", "luks2-keyring"];
  const members = [TPM2, FIDO2, PKCS11, KEYRING].flatMap(Object.keys);
  const text = fc.string({ unit: "binary", maxLength: 200 });
  const value = fc.oneof(
    fc.constantFrom<JsonObject[string]>(null, true, false, {}, []),
    fc.array(fc.integer({ min: -1, max: 24 }), { maxLength: 26 }),
    fc.integer(),
    text,
    text.map((path) => `pkcs11:${path}`),
  );
  const some = fc.array(fc.tuple(fc.constantFrom(...members), value), { maxLength: 8 });
  const token = fc.tuple(fc.constantFrom(...types), some);
  fc.assert(
    fc.property(token, ([type, rest]) => {
      const said = words({ ...Object.fromEntries(rest), type });
      assert.ok(said !== null && said.length <= 300 && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(said), said ?? "");
    }),
  );
});
