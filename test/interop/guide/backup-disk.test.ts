/** docs/guide/backup-disk.md, as it is written: two hosts, a real server and agent. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crypttabLines, Host, inviteOn, makeNetwork, noHosts } from "../../support/guide/host.ts";
import { Guide } from "../../support/guide/page.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const asked = [/Passphrase of \/dev\/vdb: /, PASSPHRASE] as const;

test("the guide of a backup disk, followed to the letter", { skip: noHosts }, async () => {
  const guide = new Guide("backup-disk");
  const folder = makeFolder();
  for (const name of ["nas", "keyserver"]) mkdirSync(join(folder, name));
  const image = makeVolume(join(folder, "nas"), "disk", "luks2");
  await using network = await makeNetwork();
  await using keyserver = await Host.start("keyserver", join(folder, "keyserver"), network);
  await using nas = await Host.start("nas", join(folder, "nas"), network);
  await using _server = await keyserver.serve();
  const done = async (host: Host, command: string, wish: Parameters<Host["run"]>[1] = {}, words = {}) => {
    const seen = await guide.run(host, command, wish, words);
    assert.equal(seen.status, 0, seen.screen);
    return seen.screen;
  };

  const invited = await done(keyserver, "nightlatch machine invite nas --expires 1h");
  const bound = await done(nas, "nightlatch bind /dev/vdb latch INVITE", { typed: [asked] }, inviteOn(invited));
  assert.match(bound, /Bound \/dev\/vdb: .*keyslot 1\. The server was asked, and the keyslot opened/);

  let recoveryKey = "";
  const typeBack = (screen: string) => {
    recoveryKey = /\n {4}([a-z-]{71})\n/.exec(screen)?.[1] ?? "";
    return recoveryKey;
  };
  const typed = [asked, [/Press Enter/, ""], [/Type it from .*: /, typeBack]] as const;
  await done(nas, "nightlatch recovery add /dev/vdb", { typed });
  assert.ok(opens(image, recoveryKey));

  const lines = crypttabLines(await done(nas, "nightlatch crypttab /dev/vdb backup"));
  nas.append("/etc/crypttab", lines.crypttab);
  nas.append("/etc/fstab", lines.fstab);
  assert.match(await done(nas, "nightlatch check"), /1 volume: nothing/);
  assert.match(await done(nas, "nightlatch status"), /opens by itself/);
  assert.ok(opens(image, await nas.boot("backup"), 1));

  await done(keyserver, "nightlatch machine lock nas");
  assert.equal((await nas.boot("backup")).length, 0);
  await done(keyserver, "nightlatch machine unlock nas");
  assert.ok(opens(image, await nas.boot("backup"), 1));
  await done(keyserver, "nightlatch machine revoke nas", { typed: [[/cannot be undone/, "yes"]] });
  assert.equal((await nas.boot("backup")).length, 0);
  assert.match(await done(keyserver, "nightlatch audit tail"), /nas +refused to 127\.0\.0\.1, .*latch\/revoked/);
  assert.match(await done(keyserver, "nightlatch audit verify"), /The log is whole/);

  await done(nas, "nightlatch unbind /dev/vdb --slot KEYSLOT", { typed: [asked] }, { KEYSLOT: "1" });
  await done(nas, "mv /var/lib/nightlatch/machine /var/lib/nightlatch/machine.revoked");
  const again = await done(keyserver, "nightlatch machine invite nas-2");
  await done(nas, "nightlatch bind /dev/vdb latch INVITE", { typed: [asked] }, inviteOn(again));
  assert.ok(opens(image, await nas.boot("backup")));
  guide.finish();
  for (const passphrase of [PASSPHRASE, recoveryKey]) assert.ok(opens(image, passphrase));
});
