/**
 * docs/guide/vps.md, as it is written: GRUB's own tools and real headers, a real server; the reboot
 * is what is not done.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as reboot } from "../../../src/cli/commands/reboot/reboot.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { findCommand } from "../../../src/cli/find.ts";
import type { System } from "../../../src/system/port.ts";
import { CLEVIS } from "../../support/check-machine.ts";
import { type Follower, Guide } from "../../support/guide/page.ts";
import { keysOf, LOADERS, loadedInitramfs, nextBoot, person } from "../../support/reboot/oneshot-loaders.ts";
import { bootGrub, skip, snapshot } from "../../support/reboot/oneshot-world.ts";
import {
  device,
  folder,
  initramfs,
  makeDevices,
  PASSPHRASE,
  plugCard,
  slots,
  world,
} from "../../support/reboot/world.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { type Person, runCommand, type Spoken } from "../../support/terminal.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

/** A machine whose commands are run in this process, on a system of the test's. */
function machine(system: System): Follower<Person, Spoken> {
  return {
    name: "vps",
    run: async (line, typing) => {
      const [program, ...words] = line.split(" ");
      assert.equal(program, "nightlatch");
      const { command, rest } = await findCommand(words);
      return await runCommand(command, rest, system, typing);
    },
  };
}

function keyServer(server: Served): Follower<null, string> {
  return {
    name: "keyserver",
    run: async (line) => {
      const [, ...words] = line.split(" ");
      const { status, stdout, stderr } = await nightlatch(...words, "--admin", server.admin);
      assert.equal(status, 0, stderr);
      return stdout;
    },
  };
}

/** GRUB's, of those that a one-time entry is made for. */
const grub = LOADERS.find(({ name }) => name === "GRUB") ?? assert.fail();

async function byOneTimeEntry(guide: Guide): Promise<void> {
  const one = grub.make();
  const vps = machine(one.system);
  const [disk, headers] = [snapshot(one, "/boot"), await slots()];
  const isAsBefore = async () => {
    const now = snapshot(one, "/boot");
    for (const files of [disk, now]) files.delete("/boot/grub/grubenv"); // GRUB leaves an empty next_entry in it
    assert.deepEqual([now, await slots()], [disk, headers]);
  };
  const dry = await guide.run(vps, "nightlatch reboot --via oneshot --dry-run", person);
  assert.deepEqual([dry.status, dry.result["via"]], [0, "oneshot"]);
  await isAsBefore();
  await guide.run(vps, "nightlatch reboot --via oneshot", person);
  assert.equal(one.units.at(-1), "reboot");
  const booted = bootGrub(one);
  assert.equal(booted.id, grub.ours);
  assert.equal(keysOf(loadedInitramfs(one, grub, booted, true)).size, 3);
  assert.notEqual(bootGrub(one).id, grub.ours, "the boot after it");
  nextBoot(one);
  await runCommand(reboot, ["--clean-up"], one.system);
  await isAsBefore();

  await guide.run(vps, "nightlatch oneshot arm --expires 2h", person);
  const armed = await guide.run(vps, "nightlatch oneshot status", {});
  assert.match(armed.lines.join("\n"), /^Armed until .* once; its keys lie in /);
  await guide.run(vps, "nightlatch oneshot disarm", {});
  await isAsBefore();
}

/** A machine whose root alone is encrypted, and whose initramfs has clevis and a network. */
function rootMachine() {
  const reboots: string[] = [];
  const programs = (argv: readonly string[]): string | undefined => {
    const asks = (...words: readonly string[]) => words.every((word) => argv.includes(word));
    if (argv[0] === "findmnt" && asks("SOURCE") && !asks("/")) return "/dev/vda1\n";
    if (argv[0] === "lsblk" && asks("/dev/vda1"))
      return JSON.stringify({ blockdevices: [{ name: "vda1", fstype: "ext4" }] });
    if (argv[0] === "systemd-analyze") return "";
    if (argv[0] === "modinfo") return "/lib/modules/6.1.0/kernel/drivers/net/virtio_net.ko\n";
    if (argv[0] !== "systemctl" || asks("is-active")) return undefined;
    if (asks("show", "nightlatch-clean-up.timer")) return "enabled\n\nenabled\n\nenabled\n";
    if (!asks("show") && !asks("list-jobs")) reboots.push(argv.join(" "));
    return "";
  };
  const inside = [...CLEVIS, "usr/lib/modules/6.1.0/kernel/drivers/net/virtio_net.ko"];
  const files = { "/sys/class/net/eth0/operstate": "up\n" };
  const initrd = initramfs(`cryptroot ${device("root")} none luks\n`, ...inside);
  const made = world({ crypttab: "", initrd, files, programs });
  plugCard(made, "eth0", "virtio_net");
  return { system: made.system, reboots };
}

async function byLease(guide: Guide, server: Served): Promise<void> {
  const { system, reboots } = rootMachine();
  const [vps, keyserver] = [machine(system), keyServer(server)];
  const { invite } = await server.json("machine", "invite", "vps");
  const keyFile = join(folder, "passphrase");
  writeFileSync(keyFile, PASSPHRASE);
  await runCommand(bind, [device("root"), "latch", String(invite), "--no-setup", "--key-file", keyFile], system);
  const opens = async () => (await runCommand(unlock, [device("root"), "--test"], system)).status === 0;
  assert.ok(await opens());

  await guide.run(keyserver, "nightlatch machine policy vps lease", null);
  assert.ok(!(await opens()), "a copy of the disk is refused");
  const dry = await guide.run(vps, "nightlatch reboot --via bindings --dry-run", {});
  assert.equal(dry.result["via"], "bindings");
  assert.ok(!(await opens()), "the window of the proof is closed again");
  await guide.run(vps, "nightlatch reboot --via bindings", {});
  assert.deepEqual(reboots, ["systemctl reboot"]);
  assert.ok(await opens(), "the boot that was announced");

  await guide.run(keyserver, "nightlatch machine lease vps 15m", null);
  assert.ok(await opens());
  const shown = await guide.run(keyserver, "nightlatch machine show vps", null);
  assert.match(shown, /lease/);
}

test("the guide of a VPS, followed to the letter", { skip }, async () => {
  const guide = new Guide("vps");
  await using server = await serve();
  await byOneTimeEntry(guide);
  await byLease(guide, server);
  guide.finish();
});
