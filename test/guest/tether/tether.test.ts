/**
 * A running machine whose server locks it, or is gone: its data volume stands still, and the
 * kernel has no key of it. Everything is what a user does, with the kernel's own device mapper.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isKeyless } from "../../../src/luks/cryptsetup/suspend.ts";
import { bootImage } from "../harness/image.ts";
import { startKeyServer } from "../harness/key-server.ts";
import { makeLuksVolume } from "../harness/luks-volume.ts";
import { BOOT_DEADLINE_MS, type Machine, startMachine } from "../harness/machine.ts";
import { builtPackage } from "../harness/package.ts";
import { HOST_ADDRESS } from "../harness/qemu.ts";
import { dataGuest, type Suite } from "../harness/recipe.ts";
import { onlyInFull } from "../harness/requirements.ts";

const DATA = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01", passphrase: "correct horse data" };
const CONFIG = '[heartbeat]\ninterval = "5s"\n[tether]\nafter = "30s"\n';

for (const suite of ["bookworm", "trixie"] as const satisfies readonly Suite[]) {
  test(
    `${suite}: a lock suspends a running machine's volume, silence does, and a failure switches it off`,
    {
      skip: onlyInFull(),
    },
    (t) => judge(t, suite),
  );
}

async function judge(t: TestContext, suite: Suite): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const file = join(folder, "data.img");
    await makeLuksVolume(file, "data", 32, { ...DATA, files: { name: "data\n" } });
    await using server = await startKeyServer();
    const image = await bootImage(dataGuest(suite), { deb: await builtPackage() });
    const disks = [{ file, format: "raw", serial: "data" }] as const;
    await using machine = await startMachine({ image, disks, forwards: [server.forward] });
    await machine.login();
    const bind = `nightlatch bind /dev/vdb latch ${await server.invite("nas")} --key-file -`;
    await machine.must(bind, BOOT_DEADLINE_MS, DATA.passphrase);
    await machine.must("nightlatch unlock /dev/vdb data && mount /dev/mapper/data /srv && cat /srv/name");
    await machine.must("cat > /etc/nightlatch/agent.toml", undefined, CONFIG);
    await machine.must("systemctl enable --now nightlatch-heartbeat nightlatch-tether");
    await hears(machine);
    assert.ok(!isKeyless(await table(machine)), "while the volume is open the kernel shows that it has a key");

    // A file is being written meanwhile: what is on its way gets to the disk before.
    await machine.must("(while sleep 0.1; do date >> /srv/log; done) > /dev/null 2>&1 &");
    await server.machine("lock", "nas");
    await stands(machine, 1);
    assert.ok(isKeyless(await table(machine)));
    await tellHowLong(t, machine);
    assert.match(await machine.must("systemctl is-active nightlatch-tether nightlatch-heartbeat"), /^active\nactive$/m);

    // What a person does: the server releases nothing to a locked machine, a passphrase opens it.
    const refused = await machine.run("nightlatch resume data");
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /cryptsetup luksResume data/);
    assert.match(await machine.must("nightlatch status /dev/vdb"), /suspended/);
    await machine.must("cryptsetup luksResume data", BOOT_DEADLINE_MS, `${DATA.passphrase}\n`);
    assert.equal(await machine.must("cat /srv/name"), "data\n");
    await machine.must("sleep 15"); // three heartbeats that say that it is locked
    assert.equal(await suspended(machine), "Active", "the same lock does not take it again");

    await server.machine("unlock", "nas");
    await machine.must(
      `until journalctl -u nightlatch-heartbeat -o cat | tail -n 1 | grep -q 'hears this machine'; do sleep 1; done`,
    );
    await machine.must(`ip route add unreachable ${HOST_ADDRESS}`);
    await stands(machine, 2);
    assert.ok(isKeyless(await table(machine)));
    assert.match(await machine.must("journalctl -u nightlatch-tether -o cat"), /no server has answered for \d+ s/);
    await machine.must(`ip route del unreachable ${HOST_ADDRESS}`);
    await machine.must("nightlatch resume data", BOOT_DEADLINE_MS);
    assert.equal(await machine.must("cat /srv/name"), "data\n");

    // Where the volume cannot be suspended the machine goes off.
    await hears(machine);
    await machine.must("mv /usr/sbin/dmsetup /usr/sbin/dmsetup.away");
    await server.machine("lock", "nas");
    await machine.ended();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Until the server was heard after all that was said before. */
async function hears(machine: Machine): Promise<void> {
  const heard = "stat -c %Y /run/nightlatch-heartbeat/heard.json";
  await machine.must(
    `since=$(date +%s); until [ "$(${heard} || echo 0)" -gt "$since" ]; do sleep 1; done`,
    BOOT_DEADLINE_MS,
  );
}

const suspended = async (machine: Machine): Promise<string> =>
  (await machine.must("dmsetup info -c --noheadings -o suspended data")).trim();

/** Until the volume stands still, and the tether has proved so often that its key is gone. */
async function stands(machine: Machine, times: number): Promise<void> {
  const state = "dmsetup info -c --noheadings -o suspended data";
  await machine.must(`until [ "$(${state})" = Suspended ]; do sleep 0.2; done`, BOOT_DEADLINE_MS);
  const told = "journalctl -u nightlatch-tether -o cat | grep -c '^suspended data'";
  await machine.must(`until [ "$(${told})" = ${times} ]; do sleep 0.2; done`);
}

const table = async (machine: Machine): Promise<Buffer> =>
  Buffer.from(await machine.must("dmsetup table --showkeys data"));

/** From what the sender was told to what the tether has proved, by the journal. */
async function tellHowLong(t: TestContext, machine: Machine): Promise<void> {
  const at = async (unit: string, text: string) =>
    Number(await machine.must(`journalctl -u ${unit} -o short-unix | grep '${text}' | tail -n 1 | cut -d' ' -f1`));
  const told = await at("nightlatch-heartbeat", "has locked this machine");
  const done = await at("nightlatch-tether", "suspended data");
  t.diagnostic(`suspended and proved ${Math.round((done - told) * 1000)} ms after the server's lock was heard`);
}
