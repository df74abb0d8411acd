/**
 * `nightlatch reboot` on a machine that Secure Boot guards: Microsoft's keys in the firmware,
 * Debian's own shim, GRUB and kernel. A kernel that is not signed as it has to be is refused and
 * nothing is left staged; the signed one is landed in, and from there once more; and the entry for
 * one boot passes what shim and GRUB check.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import {
  assertBooted,
  comeBack,
  DEADLINE_MS,
  type NamedEntry,
  namedEntry,
  rebootByHand,
  withFirmwareMachine,
} from "../harness/firmware-boots.ts";
import { LOADER_SHOWN, stateOf } from "../harness/firmware-once.ts";
import type { Machine } from "../harness/machine.ts";
import { assertClean, assertNothingStaged, assertOpens, BY_KEXEC, headers, settle } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

/**
 * Of a signed kernel: one without the signature (the entry of PE's certificate table is emptied),
 * and one with a bit of its code changed.
 */
const SPOIL = `
const { readFileSync, writeFileSync } = require("node:fs");
const image = readFileSync(process.argv[2]);
const optional = image.readUInt32LE(0x3c) + 24;
const entry = optional + (image.readUInt16LE(optional) === 0x20b ? 112 : 96) + 4 * 8;
const certificates = image.readUInt32LE(entry);
if (certificates === 0) throw new Error("this kernel is not signed");
const altered = Buffer.from(image);
altered[certificates >> 1] ^= 1;
writeFileSync("/root/altered", altered);
image.fill(0, entry, entry + 8);
writeFileSync("/root/unsigned", image.subarray(0, certificates));
`;

const TRIXIE = { suite: "trixie", generator: "initramfs-tools", compression: "zstd" } as const;

describe("Secure Boot, Debian 13", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("a kernel that is not trusted is refused; the signed one is landed in by kexec, and from there once more", (t) =>
    withFirmwareMachine("shim", (machine) => kexec(machine, (line) => t.diagnostic(line)), TRIXIE));

  test("an entry for one boot passes shim and GRUB, once", () => withFirmwareMachine("shim", oneshot, TRIXIE));
});

/** @returns what is to be booted, and the headers before anything was staged */
async function beginning(machine: Machine): Promise<{ entry: NamedEntry; before: string }> {
  await assertGuarded(machine);
  await settle(machine);
  const before = await headers(machine);
  const entry = await namedEntry(machine);
  assert.equal(entry.source, "grub");
  await assertBooted(machine, entry);
  return { entry, before };
}

async function kexec(machine: Machine, tell: (line: string) => void): Promise<void> {
  tell(await machine.must("mokutil --sb-state"));
  const { entry, before } = await beginning(machine);

  await machine.must(`cat >/run/spoil.cjs && /usr/lib/nightlatch/node /run/spoil.cjs /boot/vmlinuz-*`, 60_000, SPOIL);
  const refused = async (kernel: string) => {
    const { status, stdout } = await machine.run(
      `nightlatch reboot --via kexec --json --key-file - --kernel ${kernel} --initrd $(echo /boot/initrd.img-*)`,
      DEADLINE_MS,
      PASSPHRASE,
    );
    const { error } = JSON.parse(stdout);
    assert.deepEqual([status, error?.code], [1, "kexec/failed"], stdout);
    assert.match(JSON.stringify(error), /locked down \(Secure Boot\)/);
    await assertNothingStaged(machine, before);
    tell(`${kernel}: ${error.message} ${error.remedy}`);
  };
  await refused("/root/unsigned");
  await refused("/root/altered");

  const reboot = "nightlatch reboot --via kexec --key-file -";
  // The second from a kernel that kexec started: shim's keys have come along.
  for (const _ of [1, 2]) {
    const shown = await comeBack(machine, () => machine.run(reboot, DEADLINE_MS, PASSPHRASE));
    assert.doesNotMatch(shown, LOADER_SHOWN);
    assert.match(await machine.must("cat /proc/cmdline"), BY_KEXEC);
    await assertBooted(machine, entry);
    await assertGuarded(machine);
    assert.equal(await machine.must("cat /srv/greeting"), "hello\n");
    await assertClean(machine, before);
  }
  await assertOpens(machine);
}

async function oneshot(machine: Machine): Promise<void> {
  const { entry, before } = await beginning(machine);
  const whole = await stateOf(machine);
  const reboot = "nightlatch reboot --via oneshot --yes --key-file -";
  const shown = await comeBack(machine, () => machine.run(reboot, DEADLINE_MS, PASSPHRASE));
  assert.match(shown, LOADER_SHOWN);
  await assertBooted(machine, entry);
  await assertGuarded(machine);
  await assertClean(machine, before);
  assert.equal(await stateOf(machine), whole);

  await rebootByHand(machine);
  await assertBooted(machine, entry);
  await assertClean(machine, before);
}

/** Secure Boot is on, and the kernel keeps to it. */
async function assertGuarded(machine: Machine): Promise<void> {
  const variable = (name: string) =>
    machine.must(`od -An -tu1 -j4 /sys/firmware/efi/efivars/${name}-8be4df61-93ca-11d2-aa0d-00e098032b8c`);
  assert.deepEqual([await variable("SecureBoot"), await variable("SetupMode")], ["   1\n", "   0\n"]);
  assert.match(await machine.must("cat /sys/kernel/security/lockdown"), /\[integrity\]/);
  // So what is loaded came by file, with its signature checked.
  assert.notEqual((await machine.run("kexec -c -l $(echo /boot/vmlinuz-*) --reuse-cmdline")).status, 0);
}
