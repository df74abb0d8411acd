/**
 * The master key sealed as the manual has it, under the package's own unit: across restarts and a
 * boot, and the way back.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bootImage } from "./harness/image.ts";
import { type Machine, startMachine } from "./harness/machine.ts";
import { builtPackage } from "./harness/package.ts";
import { dataGuest, RELEASES, type Suite } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";

const LONG_MS = 600_000;
const PASSPHRASE = "correct horse";
const VOLUME = "/root/volume.img";
const MAKE_VOLUME = `truncate -s 32M ${VOLUME} && cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 ${VOLUME} -`;
const STORE = "/var/lib/private/nightlatch-server";
const RESTART = "systemctl restart nightlatch-server.service";
const OPENS = `nightlatch unlock ${VOLUME} --test`;

for (const suite of ["bookworm", "trixie"] as const satisfies readonly Suite[]) {
  test(`${RELEASES[suite]}: a sealed master key serves under the unit, also after a boot`, {
    skip: onlyInFull(),
  }, async () => {
    const image = await bootImage(dataGuest(suite), { deb: await builtPackage() });
    await using machine = await startMachine({ image });
    await machine.login();
    await machine.must("systemctl enable --now nightlatch-server.service", LONG_MS);
    await machine.must(MAKE_VOLUME, LONG_MS, PASSPHRASE);
    const bind = `nightlatch bind ${VOLUME} latch "$(nightlatch machine invite nas)" --key-file -`;
    await machine.must(bind, LONG_MS, PASSPHRASE);
    assert.equal(await said(machine), "file");

    const sealed = JSON.parse(await machine.must("nightlatch store seal --json", LONG_MS));
    assert.equal(sealed.sealedBy, "host-key");
    // What runs has not seen it open, so the plain one stays.
    const early = await machine.run("nightlatch store seal --remove-plain --yes", LONG_MS);
    assert.equal(early.status, 1, early.stdout);
    await machine.must(RESTART, LONG_MS);
    assert.equal(await said(machine), "credential");
    await machine.must("nightlatch store seal --remove-plain --yes", LONG_MS);
    assert.equal((await machine.run(`ls ${STORE}/master.key`)).status, 2);

    await machine.must(RESTART, LONG_MS);
    await machine.must(OPENS, LONG_MS);
    await machine.reboot();
    await machine.must("until systemctl is-active --quiet nightlatch-server; do sleep 1; done", LONG_MS);
    await machine.must(OPENS, LONG_MS);
    await machine.must("nightlatch machine revoke nas --yes", LONG_MS);
    assert.equal((await machine.run(OPENS, LONG_MS)).status, 1);
    assert.equal(await said(machine), "credential");

    // Without it, as on another machine, the server says what is missing and makes no new store.
    await machine.must("mv /etc/credstore.encrypted /root/elsewhere");
    assert.notEqual((await machine.run(RESTART, LONG_MS)).status, 0);
    assert.match(await machine.must("journalctl -b --no-pager -u nightlatch-server.service", LONG_MS), /master key/);
    await machine.must(
      `mv /root/elsewhere /etc/credstore.encrypted; systemctl reset-failed nightlatch-server; ${RESTART}`,
      LONG_MS,
    );
    assert.equal(await said(machine), "credential");
  });
}

/** Where the server that runs has its master key from. */
async function said(machine: Machine): Promise<string> {
  const ask = "curl -sS --unix-socket /run/nightlatch-server/admin.sock http://server/api/v1/status";
  return (JSON.parse(await machine.must(ask, LONG_MS)) as { master: string }).master;
}
