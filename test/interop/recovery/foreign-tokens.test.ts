/** Tokens that the real programs wrote, or took from us, as `status` tells them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { command as status } from "../../../src/cli/commands/status.ts";
import { readForeignToken } from "../../../src/formats/luks/foreign-token.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { cryptenroll, makeImage } from "../../support/recovery-bench.ts";
import { runCommand } from "../../support/terminal.ts";
import { addToken, forge, runTool } from "../../support/volumes.ts";

const BLOB = Buffer.alloc(200, 1).toString("base64");
/** As systemd 252 writes them. */
const TPM2 = {
  type: "systemd-tpm2",
  keyslots: ["2"],
  "tpm2-blob": BLOB,
  "tpm2-pcrs": [7],
  "tpm2-pcr-bank": "sha256",
  "tpm2-primary-alg": "ecc",
  "tpm2-policy-hash": "ab".repeat(32),
  "tpm2-pin": true,
};
const PKCS11 = { type: "systemd-pkcs11", keyslots: ["2"], "pkcs11-uri": "pkcs11:token=ops", "pkcs11-key": BLOB };
const FIDO2 = {
  type: "systemd-fido2",
  keyslots: ["2"],
  "fido2-credential": BLOB,
  "fido2-salt": BLOB,
  "fido2-rp": "io.systemd.cryptsetup",
  "fido2-clientPin-required": true,
  "fido2-up-required": true,
  "fido2-uv-required": false,
};

/** systemd's own plugins of libcryptsetup look at a token before cryptsetup writes it. */
const noPlugins = existsSync("/usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-systemd-tpm2.so")
  ? false
  : "systemd's token plugins are not installed";

test("what systemd's own plugins take for a token is read, and what they refuse is damaged", {
  skip: noPlugins,
}, () => {
  const { image } = makeImage();
  const { "tpm2-pcrs": _, ...without } = TPM2;
  const { "pkcs11-uri": __, ...cardless } = PKCS11;
  const damaged = [
    without,
    { ...TPM2, "tpm2-pcrs": "7" },
    { ...TPM2, "tpm2-pcrs": [24] },
    { ...TPM2, "tpm2-pin": "yes" },
    cardless,
    { ...PKCS11, "pkcs11-uri": "http://x" },
    { ...FIDO2, "fido2-rp": 1 },
    { ...FIDO2, "fido2-up-required": "yes" },
  ];
  for (const token of [TPM2, PKCS11, FIDO2]) {
    addToken(image, token);
    assert.notEqual(readForeignToken(token)?.kind, "damaged");
  }
  for (const token of damaged) {
    assert.throws(() => addToken(image, token), /Failed to import token/, JSON.stringify(token));
    assert.equal(readForeignToken(token)?.kind, "damaged");
  }
});

test("status tells a recovery key and a keyring's passphrase that systemd and cryptsetup enrolled", async () => {
  const { image, state } = makeImage();
  cryptenroll(image, "--recovery-key");
  runTool(["cryptsetup", "token", "add", "--key-slot", "2", "--key-description", "backup", image]);
  addToken(image, { ...TPM2, keyslots: [] });
  forge(image, (text) => text.replace('"tpm2-pcrs":[7]', '"tpm2-pcrs":"7"'));
  const args = [image, "--offline", "--crypttab", "/nonexistent", "--state", state];
  const { lines, result } = await runCommand(status, args, nodeSystem);
  assert.deepEqual(
    lines.filter((_, index) => /^ {2}token /.test(lines[index - 1] ?? "")),
    [
      `  ${" ".repeat(10)} a recovery key, typed like a passphrase`,
      `  ${" ".repeat(10)} a passphrase in the kernel's keyring, backup`,
      `  ${" ".repeat(10)} cannot be read: not as the program writes it`,
    ],
  );
  const [volume] = result["volumes"] as { tokens: unknown }[];
  assert.deepEqual(volume?.tokens, [
    { token: 0, type: "systemd-recovery", keyslots: [1], kind: "recovery" },
    { token: 1, type: "luks2-keyring", keyslots: [2], kind: "keyring", description: "backup" },
    { token: 2, type: "systemd-tpm2", keyslots: [], kind: "damaged" },
  ]);
});
