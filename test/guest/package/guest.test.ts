import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { bootImage, makeFileSystem } from "../harness/image.ts";
import { type Machine, startMachine } from "../harness/machine.ts";
import { judged, tellVersions } from "../harness/moving.ts";
import { builtPackage } from "../harness/package.ts";
import { openByKeyFile } from "../harness/plain.ts";
import { dataGuest, type Suite } from "../harness/recipe.ts";
import { onlyInFull, whyNoGuest } from "../harness/requirements.ts";

const LONG_MS = 600_000;
const PASSPHRASE = "correct horse";
const VOLUME = "/root/volume.img";
const MAKE_VOLUME = `truncate -s 32M ${VOLUME} && cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 ${VOLUME} -`;

for (const suite of ["bookworm", "trixie", "forky"] as const satisfies readonly Suite[]) {
  const skip = suite === "bookworm" ? whyNoGuest() : onlyInFull();
  test(`${suite}: on a running machine the package installs, serves, upgrades and purges`, { skip }, (t) =>
    judged(
      t,
      suite,
      () => installAndPurge(t, suite),
      () => openByKeyFile(suite),
    ),
  );
}

async function installAndPurge(t: TestContext, suite: Suite): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    mkdirSync(join(folder, "tree"));
    copyFileSync(await builtPackage(), join(folder, "tree/nightlatch.deb"));
    const disk = join(folder, "deb.img");
    await makeFileSystem(join(folder, "tree"), disk, 128);
    const image = await bootImage(dataGuest(suite));
    await using machine = await startMachine({ image, disks: [{ file: disk, format: "raw", serial: "deb" }] });
    await machine.login();
    await tellVersions(t, suite, (script) => machine.must(script));
    await machine.must("mount -o ro /dev/vdb /mnt");

    await machine.must("dpkg -i /mnt/nightlatch.deb", LONG_MS);
    assert.deepEqual(await unitStates(machine), ["active", "inactive", "inactive"]);
    assert.equal(await machine.must("systemctl is-enabled nightlatch-agent.socket"), "enabled\n");
    assert.equal((await machine.run("systemctl is-enabled nightlatch-server.service")).stdout, "disabled\n");

    // As the README has it; systemctl returns when the server can be asked.
    await machine.must("systemctl enable --now nightlatch-server.service", LONG_MS);
    await machine.must(MAKE_VOLUME, LONG_MS, PASSPHRASE);
    const bind = `nightlatch bind ${VOLUME} latch "$(nightlatch machine invite nas)" --key-file -`;
    await machine.must(bind, LONG_MS, PASSPHRASE);
    await machine.must(`nightlatch unlock ${VOLUME} --test`, LONG_MS);

    // A server that runs goes on after the upgrade, as a new process.
    const pid = "systemctl show --value -p MainPID nightlatch-server.service";
    const before = await machine.must(pid);
    await machine.must("dpkg -i /mnt/nightlatch.deb", LONG_MS);
    assert.notEqual(await machine.must(pid), before);
    assert.deepEqual(await unitStates(machine), ["active", "inactive", "active"]);
    await machine.must(`nightlatch unlock ${VOLUME} --test`, LONG_MS);
    await machine.must("nightlatch machine revoke nas --yes", LONG_MS);
    assert.equal((await machine.run(`nightlatch unlock ${VOLUME} --test`, LONG_MS)).status, 1);

    const said = await machine.must("dpkg --purge nightlatch 2>&1", LONG_MS);
    assert.match(said, /nightlatch-server was kept/);
    assert.deepEqual(await unitStates(machine), ["inactive", "inactive", "inactive"]);
    assert.equal((await machine.run("systemctl list-unit-files --no-legend 'nightlatch*'")).stdout, "");
    assert.equal((await machine.run("ls /run/nightlatch/agent.sock")).status, 2);
    assert.equal(await machine.must("systemctl --failed --no-legend"), "");
    assert.equal(await machine.must("systemctl is-system-running"), "running\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function unitStates(machine: Machine): Promise<string[]> {
  const units = "nightlatch-agent.socket nightlatch-agent.service nightlatch-server.service";
  return (await machine.run(`systemctl is-active ${units}`)).stdout.trim().split("\n");
}
