/**
 * A machine with an encrypted root, swap and data volume, as the tests of `nightlatch reboot` use
 * it: started, rebooted by itself or with the passphrase typed, its power cut, and looked at for
 * what was left behind.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EncryptedRoot, encryptedMachine, PASSPHRASE } from "./encrypted-root.ts";
import { type Machine, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { PROMPT, typePassphrase } from "./prompt.ts";

export const DEADLINE_MS = 900_000;
/** The entry's own command line; QEMU's direct boot has another. */
export const BY_KEXEC = /^root=\/dev\/mapper\/cryptroot ro console=ttyS0/;
export const VOLUMES = ["vda", "vdb", "vdc"];

export type Kind = Omit<EncryptedRoot, "deb">;

/**
 * One machine, its passphrase typed for the first boot, its boot loader's configuration made by
 * itself; its disks are in `folder`.
 */
export async function withMachine(kind: Kind, use: (machine: Machine, folder: string) => Promise<void>): Promise<void> {
  await withMachineOf({ ...kind, deb: await builtPackage() }, async (machine, folder) => {
    await settle(machine);
    await use(machine, folder);
  });
}

/** The same with another package of ours, or none. */
export async function withMachineOf(
  root: EncryptedRoot,
  use: (machine: Machine, folder: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-reboot-"));
  try {
    const { options } = await encryptedMachine(root, folder);
    await using machine = await startMachine(options);
    await typePassphrase(machine.console);
    await machine.login();
    await machine.must("mkdir -p /boot/grub && grub-mkconfig -o /boot/grub/grub.cfg", DEADLINE_MS);
    await use(machine, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Slots and tokens of every volume, as cryptsetup prints them. */
export const headers = (machine: Machine): Promise<string> =>
  machine.must(VOLUMES.map((name) => `cryptsetup luksDump --dump-json-metadata /dev/${name}`).join("\n"));

/**
 * Comes back without a prompt: one would be typed at by nobody, and the wait would fail.
 * @returns seconds from the command to the login prompt
 */
export async function rebootByItself(machine: Machine, command = "nightlatch reboot --key-file -"): Promise<number> {
  const from = machine.console.transcript().length;
  const startMs = performance.now();
  const previous = machine.shell.bootId;
  await machine.restart(() => machine.run(command, DEADLINE_MS, PASSPHRASE), DEADLINE_MS);
  await machine.console.waitFor(/login: /, DEADLINE_MS);
  const seconds = (performance.now() - startMs) / 1000;
  await machine.shell.booted(previous, DEADLINE_MS);
  assert.doesNotMatch(machine.console.transcript().slice(from), PROMPT);
  assert.match(await machine.must("cat /proc/cmdline"), BY_KEXEC);
  await machine.must("systemctl is-system-running --wait");
  return seconds;
}

/**
 * An ordinary reboot, however it begins: every volume asks, and takes the passphrase.
 * @returns seconds from the beginning to the login prompt
 */
export async function rebootTyped(machine: Machine, start: () => Promise<unknown>): Promise<number> {
  const previous = machine.shell.bootId;
  const startMs = performance.now();
  start().catch(() => {}); // the shell dies with the boot
  await typePassphrase(machine.console);
  await machine.console.waitFor(/login: /, DEADLINE_MS);
  const seconds = (performance.now() - startMs) / 1000;
  await machine.shell.booted(previous, DEADLINE_MS);
  assert.doesNotMatch(await machine.must("cat /proc/cmdline"), BY_KEXEC);
  return seconds;
}

/** The boot is over, and the clean-up that it starts: what begins now begins alone. */
export async function settle(machine: Machine): Promise<void> {
  await machine.run("systemctl is-system-running --wait", DEADLINE_MS);
  await machine.must("systemctl start --wait nightlatch-clean-up.service", DEADLINE_MS);
}

/** As at every boot: once the clean-up is through, nothing of a staged reboot is left. */
export async function assertClean(machine: Machine, before: string): Promise<void> {
  await settle(machine);
  await assertNothingStaged(machine, before);
}

export async function assertNothingStaged(machine: Machine, before: string): Promise<void> {
  assert.equal(await headers(machine), before);
  assert.equal((await machine.run("find /run/cryptsetup-keys.d /run/nightlatch-reboot -type f")).stdout, "");
  assert.equal((await machine.must("cat /sys/kernel/kexec_loaded")).trim(), "0");
}

/** The passphrase opens every volume, tried by cryptsetup itself. */
export async function assertOpens(machine: Machine): Promise<void> {
  const tries = VOLUMES.map((name) => `cryptsetup open --test-passphrase --key-file <(printf %s "$key") /dev/${name}`);
  await machine.must(["set -e", "key=$(cat)", ...tries].join("\n"), DEADLINE_MS, PASSPHRASE);
}
