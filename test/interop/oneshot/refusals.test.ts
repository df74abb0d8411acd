import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { before, test } from "node:test";
import { command as arm } from "../../../src/cli/commands/oneshot/arm.ts";
import { command as disarm } from "../../../src/cli/commands/oneshot/disarm.ts";
import { command as reboot } from "../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../src/core/errors.ts";
import { person } from "../../support/reboot/oneshot-loaders.ts";
import {
  grubWorld,
  INITRD,
  KERNEL,
  type OneshotOptions,
  skip,
  snapshot,
  systemdBootWorld,
} from "../../support/reboot/oneshot-world.ts";
import { device, initramfs, makeDevices, slots } from "../../support/reboot/world.ts";
import { runCommand } from "../../support/terminal.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

test("refused, with nothing changed: where GRUB could not take its choice back, or the keys have no place", {
  skip,
}, async () => {
  const refused: [OneshotOptions, RegExp][] = [
    [
      { abstraction: "lvm\n" },
      /lies on lvm, through which GRUB cannot write: it would take the entry again at every boot/,
    ],
    [{ abstraction: "diskfilter mdraid1x\n" }, /lies on diskfilter/],
    [{ abstraction: "cryptodisk luks2 lvm\n" }, /lies on lvm/],
    [{ probed: "btrfs\n" }, /lies on btrfs, on which GRUB does not write in place/],
    [{ probed: "zfs\n" }, /lies on zfs/],
    [{ mount: { options: "ro" } }, /mounted for reading only/],
    [{ mount: { options: "rw,data=journal" } }, /data=journal/],
    [{ mount: { target: "/mnt", fsroot: "/" } }, /cannot be told from where it is mounted|mounted at \/mnt/],
    [{ freeBytes: 4096 }, /has no room left \(4096 bytes\)/],
    [{ files: { "/boot/grub/grubenv": "" } }, /no environment block of 1024 bytes/],
    [{ files: { "/boot/grub/custom.cfg": "set default=0\n" } }, /does not take its default from the one-time choice/],
  ];
  for (const [options, message] of refused) {
    const one = grubWorld(options);
    if (options.files?.["/boot/grub/grubenv"] !== undefined)
      writeFileSync(one.at("/boot/grub/grubenv"), "# GRUB Environment Block\n");
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    await assert.rejects(
      runCommand(arm, [], one.system, person),
      (error) => isError(error, "oneshot/unavailable") && message.test(error.message),
      String(message),
    );
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
  }
});

test("refused: entries that no boot loader of ours can follow", { skip }, async () => {
  const extlinux = grubWorld({
    files: { "/boot/extlinux/extlinux.conf": `default l\nlabel l\nkernel ${KERNEL}\ninitrd ${INITRD}\nappend ro\n` },
  });
  spawnSync("rm", ["-r", extlinux.at("/boot/grub")]);
  const bls = grubWorld({
    files: {
      "/boot/grub/grub.cfg": `load_env\nset timeout=5\nif [ "\${next_entry}" ]; then set default="\${next_entry}"; fi\nblscfg\n`,
      "/boot/loader/entries/fedora.conf": `title Fedora\nlinux ${KERNEL}\ninitrd ${INITRD}\noptions ro\n`,
    },
  });
  const alone = systemdBootWorld({
    files: {
      "/boot/loader/entries/debian.conf":
        "title D\nlinux /linux\ninitrd /initrd\noptions root=/dev/mapper/cryptroot ro\n",
    },
  });
  const itself = grubWorld({ crypttab: "", initrd: initramfs(`cryptroot ${device("root")} /key luks\n`, "key") });
  for (const [one, message] of [
    [itself, /every volume opens without a key of ours/],
    [extlinux, /extlinux has no one-time choice/],
    [bls, /does not stand in grub\.cfg/],
    [alone, /would become the default one/],
  ] as const) {
    const disk = snapshot(one, "/boot");
    await assert.rejects(
      runCommand(arm, [], one.system, person),
      (error) => isError(error, "oneshot/unavailable") && message.test(error.message),
    );
    assert.deepEqual(snapshot(one, "/boot"), disk);
  }
});

test("no other way takes it by itself, and an odd life is refused", { skip }, async () => {
  const one = grubWorld({ files: { "/proc/sys/kernel/kexec_load_disabled": "1\n" } });
  const disk = snapshot(one, "/boot");
  await assert.rejects(
    runCommand(reboot, [], one.system, person),
    (error) => isError(error, "reboot/no-way") && /--via oneshot/.test(String(error.remedy)),
  );
  for (const life of ["10s", "25h", "soon"])
    await assert.rejects(runCommand(arm, ["--expires", life], one.system, person), (error) =>
      isError(error, "usage/wrong"),
    );
  assert.deepEqual(snapshot(one, "/boot"), disk);
});

test("a /boot that is encrypted itself: the keys are not in the clear, and somebody types at GRUB's prompt", {
  skip,
}, async () => {
  const one = grubWorld({ encrypted: true });
  const { hints } = await runCommand(arm, [], one.system, { passphrase: person.passphrase });
  assert.match(String(hints[0]), /not in the clear on any disk.*GRUB opens that volume.*somebody has to type it/);
  await runCommand(disarm, [], one.system);
});

test("keys go to an unencrypted /boot only where a person, or whoever wrote the script, agreed to it", {
  skip,
}, async () => {
  for (const make of [grubWorld, systemdBootWorld]) {
    const one = make();
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    const ways = [
      () => [arm, []] as const,
      () => [reboot, ["--via", "oneshot"]] as const,
      () => [reboot, ["--via", "oneshot", "--dry-run"]] as const,
    ];
    for (const way of ways) {
      const [command, args] = way();
      const hears = { lines: [], hints: [] as string[] };
      // Nobody is there: neither asked for consent nor for a passphrase.
      await assert.rejects(runCommand(command, args, one.system, { hears }), (error) => {
        assert.ok(isError(error, "usage/no-terminal"), String(error));
        assert.equal(error.meaning, "No key was made; no volume was changed.");
        assert.match(String(error.remedy), /--yes/);
        return true;
      });
      assert.match(String(hears.hints[0]), /NOT encrypted.*No TPM guards the keys/);
      await assert.rejects(
        runCommand(command, args, one.system, { agrees: false }),
        (error) => isError(error, "usage/cancelled") && error.meaning === "No key was made; no volume was changed.",
      );
      assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    }
    const { passphrase } = person;
    await runCommand(arm, ["--yes"], one.system, { passphrase });
    // What is armed goes before it is armed anew, and whoever says no is told that it went.
    const hears = { lines: [], hints: [] as string[] };
    await assert.rejects(runCommand(arm, [], one.system, { agrees: false, hears }), (error) =>
      isError(error, "usage/cancelled"),
    );
    assert.ok(hears.hints.includes("What was staged before is taken back."));
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
  }
});
