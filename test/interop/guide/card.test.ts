/** docs/guide/card.md, as it is written, with SoftHSM2 for the cards. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crypttabLines, Host, makeNetwork, noHosts } from "../../support/guide/host.ts";
import { Guide } from "../../support/guide/page.ts";
import { noSoftHsm, SOFTHSM } from "../../support/soft-hsm.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const PIN = "1234";
const MODULE = { MODULE: SOFTHSM };
const CARDS = "/var/lib/cards";
const CREDENTIAL = "/etc/credstore.encrypted/nightlatch.pkcs11-pin";
const pin = (card: string) => [new RegExp(`PIN of the token "${card}": `), PIN] as const;
const passphrase = [/Passphrase of \/dev\/vdb: /, PASSPHRASE] as const;

test("the guide of a card, followed to the letter", { skip: noHosts || noSoftHsm }, async () => {
  const guide = new Guide("card");
  const folder = join(makeFolder(), "nas");
  mkdirSync(join(folder, "etc/softhsm"), { recursive: true });
  mkdirSync(join(folder, CARDS), { recursive: true });
  const configuration = `directories.tokendir = ${CARDS}\nobjectstore.backend = file\nlog.level = ERROR\n`;
  writeFileSync(join(folder, "etc/softhsm/softhsm2.conf"), configuration);
  const image = makeVolume(folder, "disk", "luks2");
  await using network = await makeNetwork();
  await using nas = await Host.start("nas", folder, network);
  const done = async (command: string, wish: Parameters<Host["run"]>[1] = {}, words: Record<string, string> = {}) => {
    const seen = await guide.run(nas, command, wish, words);
    assert.equal(seen.status, 0, seen.screen);
    return seen.screen;
  };
  const softhsm = (...words: string[]) => runTool([...nas.through, "softhsm2-util", ...words]).toString();

  for (const card of ["ops", "spare"]) {
    softhsm("--init-token", "--free", "--label", card, "--pin", PIN, "--so-pin", "5678");
    const make = `pkcs11-tool --module MODULE --token-label ${card} --login --keypairgen --key-type rsa:2048 --usage-decrypt --label disk --id 01`;
    await done(make, { typed: [[/enter User PIN: /, PIN]] }, MODULE);
  }
  for (const [card, slot] of [
    ["ops", 1],
    ["spare", 2],
  ] as const) {
    const bound = await done(`nightlatch bind /dev/vdb pkcs11 'pkcs11:token=${card};object=disk'`, {
      typed: [pin(card), passphrase],
    });
    assert.match(bound, new RegExp(`keyslot ${slot}\\. The card was asked, and the keyslot opened`));
  }
  const tried = await done("nightlatch unlock /dev/vdb --test", { typed: [pin("ops"), pin("spare")] });
  assert.match(tried, /^opens {2}pkcs11 .*ops.*\nopens {2}pkcs11 .*spare/m);

  await done("mkdir -p /etc/credstore.encrypted /etc/systemd/system/nightlatch-agent.service.d");
  const seal = `systemd-ask-password -n 'PIN:' | systemd-creds encrypt --name=nightlatch.pkcs11-pin - ${CREDENTIAL}`;
  await done(seal, { typed: [[/PIN:/, PIN]] });
  const dropIn = "/etc/systemd/system/nightlatch-agent.service.d/card.conf";
  await done(`printf '[Service]\\nLoadCredentialEncrypted=nightlatch.pkcs11-pin\\n' > ${dropIn}`);
  assert.equal(nas.read(dropIn), "[Service]\nLoadCredentialEncrypted=nightlatch.pkcs11-pin\n");
  await done("systemctl daemon-reload");

  const lines = crypttabLines(await done("nightlatch crypttab /dev/vdb archive"));
  nas.append("/etc/crypttab", lines.crypttab);
  nas.append("/etc/fstab", lines.fstab);
  // Here nobody types a PIN, and check has no credential.
  assert.match(await done("nightlatch check"), /1 volume: 0 errors, 2 warnings/);

  // What systemd hands to the agent's unit.
  const credentials = join(folder, "run/credentials");
  mkdirSync(credentials, { mode: 0o700 });
  const decrypt = ["systemd-creds", "decrypt", "--name=nightlatch.pkcs11-pin", CREDENTIAL, "-"];
  const unsealed = runTool([...nas.through, ...decrypt]);
  assert.equal(unsealed.toString(), PIN);
  writeFileSync(join(credentials, "nightlatch.pkcs11-pin"), unsealed, { mode: 0o600 });
  const environment = { CREDENTIALS_DIRECTORY: "/run/credentials" };
  assert.equal((await nas.boot("archive")).length, 0, "without the credential nobody has a PIN");
  assert.ok(opens(image, await nas.boot("archive", environment)));
  softhsm("--delete-token", "--token", "ops");
  assert.ok(opens(image, await nas.boot("archive", environment), 2), "the spare opens it");

  await done("nightlatch unbind /dev/vdb pkcs11 --slot KEYSLOT", { typed: [passphrase] }, { KEYSLOT: "1" });
  guide.finish();
  assert.ok(opens(image, await nas.boot("archive", environment), 2));
  assert.ok(opens(image, PASSPHRASE));
});
