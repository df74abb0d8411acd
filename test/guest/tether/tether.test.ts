/**
 * A running machine whose server locks it, or is gone: its data volume stands still, and the
 * kernel has no key of it. Everything is what a user does, with the kernel's own device mapper.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { isKeyless } from "../../../src/luks/cryptsetup/suspend.ts";
import { BOOT_DEADLINE_MS } from "../harness/machine.ts";
import { HOST_ADDRESS } from "../harness/qemu.ts";
import type { Suite } from "../harness/recipe.ts";
import { onlyInFull } from "../harness/requirements.ts";
import { startTethered } from "../harness/tethered.ts";

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
  await using tethered = await startTethered(suite);
  const { machine, server } = tethered;
  assert.ok(!isKeyless(await tethered.table()), "while the volume is open the kernel shows that it has a key");

  // A file is being written meanwhile: what is on its way gets to the disk before.
  await machine.must("(while sleep 0.1; do date >> /srv/log; done) > /dev/null 2>&1 &");
  await server.machine("lock", "nas");
  await tethered.stands(1);
  assert.ok(isKeyless(await tethered.table()));
  t.diagnostic(`suspended and proved ${await tethered.tookMs()} ms after the server's lock was heard`);
  assert.match(await machine.must("systemctl is-active nightlatch-tether nightlatch-heartbeat"), /^active\nactive$/m);

  // What a person does: the server releases nothing to a locked machine, a passphrase opens it.
  const refused = await machine.run("nightlatch resume data");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /cryptsetup luksResume data/);
  assert.match(await machine.must("nightlatch status /dev/vdb"), /suspended/);
  await tethered.resumeByPassphrase();
  assert.equal(await machine.must("cat /srv/name"), "data\n");
  await machine.must("sleep 15"); // three heartbeats that say that it is locked
  assert.ok(!(await tethered.isSuspended()), "the same lock does not take it again");

  await server.machine("unlock", "nas");
  await tethered.isWell();
  await machine.must(`ip route add unreachable ${HOST_ADDRESS}`);
  await tethered.stands(2);
  assert.ok(isKeyless(await tethered.table()));
  assert.match(await machine.must("journalctl -u nightlatch-tether -o cat"), /no server has answered for \d+ s/);
  await machine.must(`ip route del unreachable ${HOST_ADDRESS}`);
  await machine.must("nightlatch resume data", BOOT_DEADLINE_MS);
  assert.equal(await machine.must("cat /srv/name"), "data\n");

  // Where the volume cannot be suspended the machine goes off.
  await tethered.hears();
  await machine.must("mv /usr/sbin/dmsetup /usr/sbin/dmsetup.away");
  await server.machine("lock", "nas");
  await machine.ended();
}
