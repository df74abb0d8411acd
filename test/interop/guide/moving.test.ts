/** docs/guide/moving.md, as it is written: from a volume that clevis bound to a real tangd. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crypttabLines, Host, inviteOn, makeNetwork, noHosts } from "../../support/guide/host.ts";
import { Guide } from "../../support/guide/page.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const asked = [/Passphrase of \/dev\/vdb: /, PASSPHRASE] as const;

test("the guide of who moves, followed to the letter", { skip: noHosts || noTangd }, async () => {
  const guide = new Guide("moving");
  const folder = makeFolder();
  for (const name of ["nas", "keyserver"]) mkdirSync(join(folder, name));
  const image = makeVolume(join(folder, "nas"), "disk", "luks2");
  await using network = await makeNetwork();
  await using keyserver = await Host.start("keyserver", join(folder, "keyserver"), network);
  await using nas = await Host.start("nas", join(folder, "nas"), network);
  await using _server = await keyserver.serve();
  await using tang = await startTangd({ through: keyserver.through });
  const done = async (host: Host, command: string, wish: Parameters<Host["run"]>[1] = {}, words = {}) => {
    const seen = await guide.run(host, command, wish, words);
    assert.equal(seen.status, 0, seen.screen);
    return seen.screen;
  };
  const clevis = [
    "clevis",
    "luks",
    "bind",
    "-y",
    "-k",
    "-",
    "-d",
    "/dev/vdb",
    "tang",
    JSON.stringify({ url: tang.url }),
  ];
  runTool([...nas.through, ...clevis], PASSPHRASE);

  assert.match(await done(nas, "nightlatch status /dev/vdb"), /binding +tang .*keyslot 1.*opens/);
  const invited = await done(keyserver, "nightlatch machine invite nas");
  await done(nas, "nightlatch bind /dev/vdb latch INVITE", { typed: [asked] }, inviteOn(invited));
  const tried = await done(nas, "nightlatch unlock /dev/vdb --test");
  assert.match(tried, /^opens {2}tang .*\n[\s\S]*^opens {2}latch /m);
  await done(nas, "nightlatch unbind /dev/vdb tang", { typed: [asked] });
  assert.ok(opens(image, runTool([...nas.through, "clevis", "luks", "pass", "-d", "/dev/vdb", "-s", "2"])));
  const lines = crypttabLines(await done(nas, "nightlatch crypttab /dev/vdb backup"));
  nas.append("/etc/crypttab", lines.crypttab);
  assert.ok(opens(image, await nas.boot("backup"), 2));
  guide.finish();
});
