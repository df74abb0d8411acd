// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { BootEntry } from "../../../../src/boot/entry/entry.ts";
import type { OneshotPower } from "../../../../src/boot/oneshot/loader.ts";
import { prepareOneshot } from "../../../../src/boot/oneshot/oneshot.ts";
import { isError } from "../../../../src/core/errors.ts";
import { restartExpiry } from "../../../../src/reboot/clean-up-units.ts";
import { type FakeSystem, fakeSystem, type Programs } from "../../../support/fake-files.ts";

const vector = (name: string) => readFileSync(new URL(`../../../vectors/boot/${name}`, import.meta.url));
const EFI = "/sys/firmware/efi/efivars";
const VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const variable = (text: string) => Buffer.concat([Buffer.alloc(4), Buffer.from(`${text}\0`, "utf16le")]);
const LOADER_INFO = { [`${EFI}/LoaderInfo-${VENDOR}`]: variable("systemd-boot 257.8") };

const whole = (path: string) => ({ path, section: null });
const entry = (changed: Partial<BootEntry>): BootEntry => ({
  title: "Debian",
  source: "systemd-boot",
  once: false,
  id: "debian.conf",
  kernel: whole("/boot/linux"),
  initrds: [whole("/boot/initrd")],
  cmdline: "ro",
  release: null,
  notes: [],
  ...changed,
});
/** What only reads: a call that changes something is an error of the test. */
const reading = (
  files: Record<string, string | Buffer>,
  programs: Programs,
  links: Readonly<Record<string, string>> = {},
) => {
  const fake = fakeSystem(files, programs, links);
  return fake as FakeSystem & OneshotPower;
};
const prepare = (power: OneshotPower, changed: Partial<BootEntry> = {}) =>
  prepareOneshot(power, { entry: entry(changed), cmdline: "ro", initrdBytes: 10 });
const refused = (message: RegExp) => (error: unknown) =>
  isError(error, "oneshot/unavailable") && message.test(error.message) && error.meaning === "Nothing was changed.";

const row = (changed: Record<string, unknown>) => ({
  type: "type1",
  id: "debian.conf",
  path: "/boot/loader/entries/debian.conf",
  root: "/boot",
  linux: "/linux",
  initrd: ["/initrd"],
  options: "ro",
  isDefault: true,
  ...changed,
});
const bootctl =
  (changed: Record<string, unknown> = {}): Programs =>
  (argv) => {
    if (argv[0] === "bootctl") return { stdout: JSON.stringify([row(changed)]) };
    if (argv[0] === "findmnt")
      return { stdout: JSON.stringify({ filesystems: [{ target: "/boot", source: "/dev/sda1", fstype: "vfat" }] }) };
    return argv[0] === "lsblk" ? { stdout: '{"blockdevices":[]}' } : undefined;
  };

test("a unified image, another one-time choice, another place: systemd-boot's entries that cannot be followed", async () => {
  const files = { ...LOADER_INFO, "/boot/loader/entries/debian.conf": "linux /linux\n" };
  const prepared = await prepare(reading(files, bootctl()));
  assert.deepEqual([prepared.loader, prepared.overlay], ["systemd-boot", "/boot/nightlatch/oneshot.cpio"]);
  const uki = reading(files, bootctl({ type: "type2", path: "/boot/EFI/Linux/a.efi" }));
  await assert.rejects(prepare(uki), refused(/unified kernel image, to which no entry file can add an initrd/));
  const section = { name: ".linux", offsetBytes: 0, lengthBytes: 1 };
  const unpacked = { kernel: { path: "/boot/a.efi", section } };
  await assert.rejects(prepare(reading(files, bootctl()), unpacked), refused(/unified kernel image/));
  await assert.rejects(prepare(reading(files, bootctl({ initrd: [] }))), refused(/no kernel with an initramfs/));
  await assert.rejects(prepare(reading(files, bootctl({ root: "/mnt/esp" }))), refused(/mounted at \/mnt\/esp/));
  await assert.rejects(prepare(reading({}, bootctl())), refused(/systemd-boot did not start this system/));
  const chosen = { ...files, [`${EFI}/LoaderEntryOneShot-${VENDOR}`]: variable("other.conf") };
  await assert.rejects(
    prepare(reading(chosen, bootctl())),
    refused(/another entry is set for the next boot alone: other\.conf/),
  );
});

test("no boot loader at all, and a kernel that a person named", async () => {
  const power = reading({}, () => undefined);
  await assert.rejects(prepare(power, { source: "options" }), refused(/--kernel names no entry/));
  await assert.rejects(prepare(power, { source: "newest kernel" }), refused(/no boot loader's configuration/));
  await assert.rejects(prepare(power, { source: "extlinux" }), refused(/extlinux has no one-time choice/));
});

test("GRUB's tools go by the name of the folder; links are not followed", async () => {
  const grubenv = Buffer.concat([Buffer.from("# GRUB Environment Block\n"), Buffer.alloc(999, "#")]);
  const names = ["/boot/vmlinuz-6.1.0-50-amd64", "/boot/initrd.img-6.1.0-50-amd64"] as const;
  const make = (folder: string, linked = "") => {
    const files = {
      [`${folder}/grub.cfg`]: vector("grub-debian12.cfg"),
      [`${folder}/grubenv`]: grubenv,
      [`${folder}/custom.cfg`]: "# mine\n",
      [names[0]]: "k",
      [names[1]]: "i",
    };
    const programs: Programs = (argv) => {
      if (argv[0] === "findmnt")
        return { stdout: JSON.stringify({ filesystems: [{ target: "/", source: "/dev/sda1", fstype: "ext4" }] }) };
      if (argv[0]?.endsWith("-probe")) return { stdout: argv[1] === "--target=fs" ? "ext2\n" : "\n" };
      return bootctl()(argv, { argv: ["x"], timeoutMs: 0 });
    };
    return reading(files, programs, { [linked]: "/elsewhere" });
  };
  const grub: Partial<BootEntry> = {
    source: "grub",
    id: "gnulinux-simple-/dev/vda",
    kernel: whole(names[0]),
    initrds: [whole(names[1])],
  };
  for (const [folder, probe] of [
    ["/boot/grub", "grub-probe"],
    ["/boot/grub2", "grub2-probe"],
  ] as const) {
    const power = make(folder);
    assert.equal((await prepare(power, grub)).loader, "GRUB");
    assert.deepEqual(
      power.ran.filter(([program]) => program?.endsWith("-probe")).map(([program]) => program),
      [probe, probe],
    );
  }
  await assert.rejects(prepare(make("/boot/grub", "/boot/grub/grubenv"), grub), refused(/grubenv is a link/));
  await assert.rejects(prepare(make("/boot/grub", "/boot/grub/custom.cfg"), grub), refused(/custom\.cfg is a link/));
});

test("another life than the timer's own gets a timer of its own, which replaces an earlier one", async () => {
  const system = fakeSystem({}, (argv) => ({ status: argv[1] === "stop" ? 5 : 0 }));
  await restartExpiry(system);
  await restartExpiry(system, 15 * 60);
  await restartExpiry(system, 3600);
  const restart = ["systemctl", "restart", "nightlatch-clean-up.timer"];
  assert.deepEqual(system.ran, [
    restart,
    restart,
    restart,
    ["systemctl", "stop", "nightlatch-expiry.timer"],
    [
      ...["systemd-run", "--unit=nightlatch-expiry", "--collect", "--quiet", "--on-active=3601"],
      ...["--timer-property=AccuracySec=1s", "systemctl", "start", "nightlatch-clean-up.service"],
    ],
  ]);
});
