/**
 * Makes tpm2.json: bindings by the real clevis to a software TPM, and what our own opening and
 * sealing said to that TPM and heard of it, so that unit tests can play the chip. Needs the
 * packages clevis-tpm2, swtpm and tpm2-tools. Every run draws new keys. usage: script/node
 * test/vectors/tpm2.ts > test/vectors/tpm2.json && script/lint --write
 */
// @ts-nocheck

import { randomBytes } from "node:crypto";
import { Secret } from "../../src/core/secret.ts";
import { formatCompactJwe, parseCompactJwe } from "../../src/formats/jose/jwe.ts";
import { SHA256 } from "../../src/formats/tpm2/hash.ts";
import { recoverSecret } from "../../src/pins/recover.ts";
import { sealToChip } from "../../src/pins/tpm2/seal.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { startSwtpm } from "../support/tpm/swtpm.ts";
import { record } from "../support/tpm/transcript.ts";

const plaintext = randomBytes(40).toString("base64url");
const limits = { timeoutMs: 10_000 };
await using chip = await startSwtpm();
process.env["TPM2TOOLS_TCTI"] = chip.tcti;

const encrypt = (configuration: object): string =>
  chip
    .run(["clevis", "encrypt", "tpm2", JSON.stringify(configuration), "-y"], plaintext)
    .toString()
    .trim();

/** @param pin typed by a person, once; without it nobody is asked */
async function openRecorded(name: string, jwe: string, pin: string | null = null) {
  const { power, transcript } = record(nodeSystem);
  const typed = pin === null ? {} : { askPin: async () => Secret.copy(Buffer.from(pin)) };
  const system = { ...nodeSystem, ...power, ...typed };
  const error = await recoverSecret(system, parseCompactJwe(jwe), limits).then(
    (secret) => {
      if (secret.reveal().toString() !== plaintext) throw new Error(`${name}: another plaintext`);
      return null;
    },
    (thrown: { code: string }) => thrown.code,
  );
  return { name, jwe, error, pin, ...transcript };
}

const registers = { pcr_bank: "sha256", pcr_ids: "7,11" };
const bindings = {
  "ecc, registers": encrypt(registers),
  "ecc, none": encrypt({}),
  sha384: encrypt({ hash: "sha384", pcr_bank: "sha384", pcr_ids: "0" }),
};
const opened = [];
for (const [name, jwe] of Object.entries(bindings)) opened.push(await openRecorded(name, jwe));

const { power, transcript } = record(nodeSystem);
const to = { kind: "ecc", registers: { bank: SHA256, numbers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] } } as const;
const jwe = await sealToChip(power, to, Buffer.from(plaintext), limits);
const sealed = { jwe: formatCompactJwe(jwe), registers: to.registers.numbers, ...transcript };

using typed = Secret.copy(Buffer.from("2580"));
const salt = randomBytes(16);
const pin = { value: typed, salt };
const pinned = await sealToChip(
  nodeSystem,
  { kind: "ecc", registers: { bank: SHA256, numbers: [7, 11] }, pin },
  Buffer.from(plaintext),
  limits,
);
const withPin = formatCompactJwe(pinned);
opened.push(await openRecorded("a PIN", withPin, "2580"));
opened.push(await openRecorded("a wrong PIN", withPin, "1111"));
await openRecorded("another wrong PIN", withPin, "1112");
opened.push(await openRecorded("few tries", withPin, "2580"));
chip.run(["tpm2_dictionarylockout", "--setup-parameters", "--max-tries=2", "--recovery-time=1000"]);
opened.push(await openRecorded("locked", withPin, "2580"));
chip.run(["tpm2_dictionarylockout", "--clear-lockout"]);

chip.extend(11);
opened.push(await openRecorded("a PIN, another state", withPin, "2580"));
opened.push(await openRecorded("another state", bindings["ecc, registers"]));
chip.run(["tpm2_clear", "-c", "p"]);
opened.push(await openRecorded("cleared", bindings["ecc, none"]));

process.stdout.write(`${JSON.stringify({ plaintext, opened, sealed }, null, 2)}\n`);
