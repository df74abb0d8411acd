/**
 * A volume with every kind of binding of ours, on which systemd-cryptenroll of some release works:
 * it lists, adds and wipes keyslots beside ours, and all of ours opens afterwards.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { command as bind } from "../../src/cli/commands/bind/bind.ts";
import { command as add } from "../../src/cli/commands/recovery/add.ts";
import { command as testKey } from "../../src/cli/commands/recovery/test.ts";
import { command as unlock } from "../../src/cli/commands/unlock.ts";
import { makeState } from "./luks-change.ts";
import { writer } from "./recovery-bench.ts";
import { serve } from "./serve.ts";
import { makeSoftHsm, noSoftHsm, SOFTHSM } from "./soft-hsm.ts";
import { noTangd, startTangd } from "./tangd.ts";
import { runCommand } from "./terminal.ts";
import { noSwtpm, startSwtpm } from "./tpm/swtpm.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE } from "./volumes.ts";

/** Why there cannot be such a volume here; false where there can. */
export const noSuchVolume = noTangd || noSwtpm || noSoftHsm;

/** A release's systemd-cryptenroll. */
export interface Enroller {
  /** Where the image has to lie for it to be seen. */
  readonly folder: string;
  /** @returns what it printed @throws Error where it fails */
  enroll(image: string, ...words: readonly string[]): Promise<string>;
}

/** The passphrase that it enrols where NEWPASSWORD is asked for. */
export const NEW_PASSPHRASE = "of systemd's making";
const PIN = "1234";
const pin = () => ({ passphrase: [PIN], agrees: true });

/** Keyslots in the order of their numbers, as it names them: `0 password`. */
async function listed(peer: Enroller, image: string): Promise<string[]> {
  const [, ...rows] = (await peer.enroll(image)).trimEnd().split("\n");
  return rows.map((row) => row.trim().replace(/\s+/g, " "));
}

export async function worksBeside(peer: Enroller): Promise<void> {
  await using server = await serve();
  await using tang = await startTangd({ exchangeCurve: "P-256" });
  await using chip = await startSwtpm();
  const scratch = makeFolder();
  const hsm = makeSoftHsm(join(scratch, "hsm"));
  hsm.makeToken("ops", PIN);
  hsm.makeKey("ops", PIN, "rsa:2048", "disk", "01");
  const before = process.env["TPM2TOOLS_TCTI"];
  process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  try {
    const image = makeVolume(peer.folder, "bound.img", "luks2", ["--luks2-keyslots-size", "4m"], 8);
    const state = makeState(scratch);
    const keyFile = join(scratch, "passphrase");
    writeFileSync(keyFile, PASSPHRASE);
    const { invite } = await server.json("machine", "invite", "nas");
    for (const words of [
      ["latch", String(invite)],
      ["tang", tang.url],
      ["tpm2", "pcr=7"],
      ["pkcs11", `pkcs11:token=ops;object=disk?module-path=${SOFTHSM}`],
      ["sss", "2", "latch", "tpm2"],
    ]) {
      const args = [image, ...words, "--key-file", keyFile, "--state", state];
      const { status } = await runCommand(bind, args, hsm.system, pin());
      assert.equal(status, 0, `bind ${words[0]}`);
    }
    const person = writer();
    await runCommand(add, [image, "--state", state], hsm.system, person);
    const [recoveryKey = ""] = person.keys;

    const allOpens = async () => {
      const tried = await runCommand(unlock, [image, "--test", "--state", state], hsm.system, pin());
      const kinds = tried.lines.map((line) => /^opens {2}(\w+) /.exec(line)?.[1]);
      assert.deepEqual([tried.status, kinds], [0, ["latch", "tang", "tpm2", "pkcs11", "sss"]], tried.lines.join("\n"));
      assert.ok(opens(image, PASSPHRASE, 0));
      await runCommand(testKey, [image], hsm.system, { passphrase: [recoveryKey], agrees: true });
    };
    const OURS = ["0 password", "1 other", "2 other", "3 other", "4 other", "5 other", "6 recovery"];
    await allOpens();
    assert.deepEqual(await listed(peer, image), OURS);

    const theirs = /(?:[a-z]{8}-){7}[a-z]{8}/.exec(await peer.enroll(image, "--recovery-key"))?.[0] ?? "";
    await peer.enroll(image, "--password");
    assert.deepEqual(await listed(peer, image), [...OURS, "7 recovery", "8 password"]);
    assert.ok(opens(image, theirs, 7) && opens(image, NEW_PASSPHRASE, 8));
    await allOpens();

    for (const slot of [7, 8]) await peer.enroll(image, `--wipe-slot=${slot}`);
    assert.deepEqual(await listed(peer, image), OURS);
    await allOpens();

    // A binding of ours that it wipes is gone, and nothing else is.
    await peer.enroll(image, "--wipe-slot=2");
    assert.deepEqual(await listed(peer, image), OURS.toSpliced(2, 1));
    const tried = await runCommand(unlock, [image, "--test", "--state", state], hsm.system, pin());
    assert.equal(tried.lines.filter((line) => /^opens {2}(?:latch|tpm2|pkcs11|sss) /.test(line)).length, 4);
  } finally {
    if (before === undefined) delete process.env["TPM2TOOLS_TCTI"];
    else process.env["TPM2TOOLS_TCTI"] = before;
  }
}
