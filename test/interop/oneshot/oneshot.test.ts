import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { before, test } from "node:test";
import { command as arm } from "../../../src/cli/commands/oneshot/arm.ts";
import { command as disarm } from "../../../src/cli/commands/oneshot/disarm.ts";
import { command as status } from "../../../src/cli/commands/oneshot/status.ts";
import { command as reboot } from "../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { opensSlot } from "../../../src/luks/cryptsetup/keyslots.ts";
import { cleanUp, listDisposables } from "../../../src/reboot/clean-up.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import {
  keysOf,
  LOADERS,
  loadedInitramfs,
  nextBoot,
  OVERLAY,
  PAD,
  person,
  STATE,
} from "../../support/reboot/oneshot-loaders.ts";
import { skip, snapshot } from "../../support/reboot/oneshot-world.ts";
import { makeDevices, slots } from "../../support/reboot/world.ts";
import { runCommand } from "../../support/terminal.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

for (const loader of LOADERS) {
  const { name, make, boot, ours } = loader;

  test(`${name}: armed, the next boot loads the entry's files and the keys, once; then all is as before`, {
    skip,
  }, async () => {
    const one = make({ files: name === "GRUB" ? { "/boot/grub/custom.cfg": "# mine, no newline" } : {} });
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    const { hints, lines, result } = await runCommand(arm, ["--expires", "30m"], one.system, person);
    assert.match(String(hints[0]), /oneshot\.cpio, which is NOT encrypted.*snapshots and backups/);
    assert.match(lines.join("\n"), /via {9}oneshot.*keys in \/boot\/nightlatch\/oneshot\.cpio.*NOT encrypted/);
    assert.equal(result["via"], "oneshot");
    assert.deepEqual(result["oneshot"], {
      loader: name,
      overlay: OVERLAY,
      fileSystem:
        name === "GRUB"
          ? { type: "ext4", device: "/dev/sda2", encrypted: false }
          : { type: "vfat", device: "/dev/sda1", encrypted: false },
    });
    assert.equal(statSync(one.at(OVERLAY)).mode & 0o777, 0o400);
    assert.equal(statSync(one.at("/boot/nightlatch")).mode & 0o777, 0o700);
    assert.match(
      String(one.units.at(-1)),
      /^systemd-run --unit=nightlatch-expiry .*--on-active=1801 .* systemctl start nightlatch-clean-up\.service$/,
    );
    const told = await runCommand(status, [], one.system);
    assert.match(String(told.lines[0]), /^Armed until .* once; its keys lie in \/boot\/nightlatch\/oneshot\.cpio\.$/);
    assert.equal((told.result["oneshot"] as { armed: boolean }).armed, true);

    const booted = boot(one);
    const files = [PAD, OVERLAY].map((path) => path.slice(loader.root.length));
    assert.deepEqual([booted.id, booted.kernel, booted.options], [ours, loader.kernel, loader.options]);
    assert.deepEqual(booted.initrds, [loader.initrd, ...files]);
    for (const pads of [true, false]) {
      const loaded = loadedInitramfs(one, loader, booted, pads);
      assert.equal(loaded.indexOf(readFileSync(one.at(OVERLAY))) % 4, 0, `pads: ${pads}`);
      assert.equal(keysOf(loaded).size, 3, `pads: ${pads}`);
    }
    const keys = [...keysOf(loadedInitramfs(one, loader, booted, false)).values()];
    for (const [index, found] of (await listDisposables(one.system, STATE)).entries()) {
      const key = Secret.copy(keys[index] ?? Buffer.alloc(1));
      assert.equal(await opensSlot(nodeSystem, found, found.record.slot, key), true);
    }
    assert.notEqual(boot(one).id, ours, "the boot after it");

    nextBoot(one);
    const cleaned = await runCommand(reboot, ["--clean-up"], one.system);
    assert.deepEqual([cleaned.status, cleaned.result["failures"]], [0, []]);
    assert.deepEqual((cleaned.result["disarmed"] as string[]).slice(-2), [OVERLAY, PAD]);
    const after = snapshot(one, "/boot");
    for (const files_ of [disk, after]) files_.delete("/boot/grub/grubenv"); // GRUB leaves an empty next_entry in it
    assert.deepEqual([after, await slots()], [disk, headers]);
    assert.deepEqual((await runCommand(status, [], one.system)).lines, ["Nothing is armed."]);
  });

  test(`${name}: disarmed, every byte is what it was`, { skip }, async () => {
    for (const environment of [
      [],
      ["set", "next_entry=", "saved_entry=x y"],
      ["set", "next_entry=Advanced options for Debian GNU/Linux>0"],
    ]) {
      const one = make();
      if (name === "GRUB" && environment.length > 0)
        spawnSync("grub-editenv", [one.at("/boot/grub/grubenv"), ...environment]);
      const [disk, headers] = [snapshot(one, "/boot"), await slots()];
      await runCommand(arm, [], one.system, person);
      assert.notDeepEqual(snapshot(one, "/boot"), disk);
      assert.deepEqual(one.units, ["restart nightlatch-clean-up.timer"]);
      const kept = await cleanUp(one.system, STATE, false);
      assert.deepEqual([kept.removed, kept.disarmed, kept.failures], [[], [], []], "it has not expired");
      const { result } = await runCommand(disarm, [], one.system);
      assert.deepEqual(result["failures"], []);
      assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    }
  });

  test(`${name}: reboot --via oneshot reboots by the firmware; a dry run, and a shutdown that does not begin, leave nothing`, {
    skip,
  }, async () => {
    const one = make();
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    const dry = await runCommand(reboot, ["--via", "oneshot", "--dry-run"], one.system, person);
    assert.deepEqual([dry.status, dry.result["dryRun"], dry.result["via"]], [0, true, "oneshot"]);
    assert.equal(dry.lines.at(-1), "That was a dry run: nothing is staged.");
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    const stuck = {
      ...one.system,
      run: async (command: Parameters<typeof one.system.run>[0]) => {
        const exit = await one.system.run(command);
        return command.argv[1] === "reboot" ? { ...exit, status: 1 } : exit;
      },
    };
    await assert.rejects(runCommand(reboot, ["--via", "oneshot"], stuck, person), (error) =>
      isError(error, "reboot/blocked"),
    );
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    await runCommand(reboot, ["--via", "oneshot"], one.system, person);
    assert.equal(one.units.at(-1), "reboot");
    assert.equal(boot(one).id, ours);
    await runCommand(reboot, ["--cancel"], one.system);
    assert.deepEqual(await slots(), headers);
  });

  test(`${name}: it expires, and goes with a boot that did not take it`, { skip }, async () => {
    const one = make();
    const disk = snapshot(one, "/boot");
    await runCommand(arm, [], one.system, person);
    const later = { ...one.system, nowMs: () => one.system.nowMs() + 15 * 60_000 };
    assert.equal((await cleanUp(later, STATE, false)).failures.length, 0);
    assert.deepEqual(snapshot(one, "/boot"), disk);
    await runCommand(arm, [], one.system, person);
    nextBoot(one);
    assert.equal((await cleanUp(one.system, STATE, false)).failures.length, 0);
    assert.deepEqual(snapshot(one, "/boot"), disk);
  });
}
