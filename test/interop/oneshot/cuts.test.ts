import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { before, test } from "node:test";
import { command as arm } from "../../../src/cli/commands/oneshot/arm.ts";
import { command as disarm } from "../../../src/cli/commands/oneshot/disarm.ts";
import { command as status } from "../../../src/cli/commands/oneshot/status.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { opensSlot } from "../../../src/luks/cryptsetup/keyslots.ts";
import { cleanUp, listDisposables } from "../../../src/reboot/clean-up.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { faultySystem, PowerCut } from "../../support/faults.ts";
import {
  keysOf,
  LOADERS,
  type Loader,
  loadedInitramfs,
  OVERLAY,
  PAD,
  person,
  STATE,
} from "../../support/reboot/oneshot-loaders.ts";
import {
  type Booted,
  bootGrub,
  failingAt,
  INITRD,
  KERNEL,
  type OneshotWorld,
  skip,
  snapshot,
  vector,
} from "../../support/reboot/oneshot-world.ts";
import { device, initramfs, makeDevices, PASSPHRASE, slots } from "../../support/reboot/world.ts";
import { runCommand } from "../../support/terminal.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

for (const loader of LOADERS) {
  const { name, boot, ours } = loader;
  test(`${name}: whichever step of arming fails, all is as before at once`, { skip, timeout: 600_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    let steps = 1;
    for (let at = 1; at <= steps; at++) {
      const { system, count } = failingAt(one.system, at);
      await runCommand(arm, [], system, person).then(
        () => (steps = at),
        (error) => assert.ok(isError(error, "file/io"), `${at}: ${error}`),
      );
      if (count() >= at) steps = at + 1;
      else await runCommand(disarm, [], one.system);
      assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers], `step ${at}`);
    }
    assert.ok(steps > 8, String(steps));
  });

  test(`${name}: the power cut after any step of arming`, { skip, timeout: 900_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers, usual] = [snapshot(one, "/boot"), await slots(), boot(one)];
    for (let at = 1, cut = true; cut; at++) {
      const system = faultySystem(one.system, { at, when: "after" });
      await runCommand(arm, [], system, person).catch((error) => assert.ok(error instanceof PowerCut, String(error)));
      cut = system.wasCut;
      await assertHarmless(one, loader, usual, headers, `after ${system.steps.at(-1)}`);
      assert.deepEqual(withoutChoice(snapshot(one, "/boot")), withoutChoice(disk), `after ${system.steps.at(-1)}`);
    }
  });

  test(`${name}: the power cut after any step of taking back`, { skip, timeout: 900_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers, usual] = [snapshot(one, "/boot"), await slots(), boot(one)];
    for (let at = 1, cut = true; cut; at++) {
      await runCommand(arm, [], one.system, person);
      const system = faultySystem(one.system, { at, when: "after" });
      await runCommand(disarm, [], system).catch((error) => assert.ok(error instanceof PowerCut, String(error)));
      cut = system.wasCut;
      await assertHarmless(one, loader, usual, headers, `after ${system.steps.at(-1)}`);
      assert.deepEqual(withoutChoice(snapshot(one, "/boot")), withoutChoice(disk), `after ${system.steps.at(-1)}`);
    }
  });

  test(`${name}: one step of taking back that fails keeps no other from being done, and is told`, {
    skip,
    timeout: 600_000,
  }, async () => {
    const one = oneVolume(loader);
    const headers = await slots();
    await runCommand(arm, [], one.system, person);
    for (const path of [PAD, OVERLAY]) {
      const system = {
        ...one.system,
        removeFile: async (file: string) => (file === path ? undefined : one.system.removeFile(file)),
      };
      const { failures } = await cleanUp(system, STATE, true);
      assert.ok(
        failures.some((error) => error.code === "oneshot/left-over" && error.message.includes(path)),
        path,
      );
      assert.deepEqual(await slots(), headers);
      assert.ok(
        readFileSync(one.at(path)).every((byte) => byte === 0),
        "overwritten all the same",
      );
      assert.notEqual(boot(one).id, ours);
      assert.match(String((await runCommand(status, [], one.system)).lines[0]), /^Not armed\. Left over/);
      assert.deepEqual((await cleanUp(one.system, STATE, true)).failures, []);
      assert.equal(existsSync(one.at("/boot/nightlatch")), false);
      await runCommand(arm, [], one.system, person);
    }
    await runCommand(disarm, [], one.system);
  });
}

/**
 * A machine that opens only its root: its steps are fewer. GRUB's default is not its first entry,
 * which it takes where a choice names none.
 */
function oneVolume({ make, name }: Loader): OneshotWorld {
  const initrd = initramfs(`cryptroot ${device("root")} none luks\n`);
  const options = { crypttab: "", initrd };
  if (name !== "GRUB") return make(options);
  const [kernel, image] = [KERNEL, INITRD].map((path) => path.replace("-50-", "-49-"));
  const files = {
    "/boot/grub/grub.cfg": vector("grub-debian12-saved.cfg"),
    [String(kernel)]: "old",
    [String(image)]: initrd,
  };
  const one = make({ ...options, files });
  const saved = "saved_entry=gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda";
  assert.equal(spawnSync("grub-editenv", [one.at("/boot/grub/grubenv"), "set", saved]).status, 0);
  assert.equal(bootGrub(one).kernel, kernel);
  return one;
}

/** GRUB leaves an empty next_entry in grubenv when it has taken a choice back. */
const withoutChoice = (files: Map<string, string>): Map<string, string> =>
  new Map([...files].map(([path, text]) => [path, path.endsWith("grubenv") ? "grubenv" : text]));

/**
 * After a cut (what is after one step is before the next): the default with its prompt, or a whole
 * one-time boot and then the default; the passphrase opens; the clean-up finds all.
 */
async function assertHarmless(
  one: OneshotWorld,
  loader: Loader,
  usual: Booted,
  headers: unknown,
  step: string,
): Promise<void> {
  const first = loader.boot(one);
  if (first.id === loader.ours && first.initrds.length > 1) {
    const keys = keysOf(loadedInitramfs(one, loader, first, false));
    const [found] = await listDisposables(one.system, STATE);
    const [key] = keys.values();
    assert.ok(found !== undefined && key !== undefined, step);
    assert.equal(await opensSlot(nodeSystem, found, found.record.slot, Secret.copy(key)), true, step);
  } else {
    assert.deepEqual([first.kernel, first.initrds], [usual.kernel, usual.initrds], step);
  }
  const second = loader.boot(one);
  assert.notEqual(second.id, loader.ours, `${step}: nothing boots twice`);
  assert.deepEqual(second, usual, step);
  const passphrase = Secret.copy(Buffer.from(PASSPHRASE));
  assert.equal(await opensSlot(nodeSystem, { device: device("root") }, 0, passphrase), true, step);
  const { failures } = await cleanUp(one.system, STATE, true);
  assert.deepEqual(failures, [], step);
  assert.deepEqual(await slots(), headers, step);
}
