/** What is done again and again to a machine that its firmware boots. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EncryptedRoot, PASSPHRASE } from "./encrypted-root.ts";
import { firmwareMachine } from "./firmware-machine.ts";
import type { Loader } from "./loader.ts";
import { type Machine, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { PROMPT, typePassphrase } from "./prompt.ts";
import { rebootTyped } from "./reboot-machine.ts";
import type { Outcome } from "./shell.ts";

export const DEADLINE_MS = 900_000;

type System = Pick<EncryptedRoot, "suite" | "generator" | "compression">;

const DEBIAN_12: System = { suite: "bookworm", generator: "initramfs-tools", compression: "zstd" };

/** A machine that its firmware booted through that loader, its passphrase typed. */
export async function withFirmwareMachine(
  loader: Loader,
  use: (machine: Machine) => Promise<void>,
  system: System = DEBIAN_12,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-firmware-"));
  try {
    await using machine = await startMachine(
      await firmwareMachine({ ...system, loader, deb: await builtPackage() }, folder),
    );
    await typePassphrase(machine.console);
    await machine.login();
    await use(machine);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The entry as `nightlatch reboot --json` tells it. */
export interface NamedEntry {
  readonly source: string;
  readonly once: boolean;
  readonly release: string;
  readonly cmdline: string;
  readonly initrds: readonly string[];
}

/** What `nightlatch reboot` says of the next boot. */
export async function namedEntry(machine: Machine): Promise<NamedEntry> {
  const command = "nightlatch reboot --dry-run --json --key-file -";
  return JSON.parse(await machine.must(command, DEADLINE_MS, PASSPHRASE)).entry;
}

export const releaseOf = async (machine: Machine): Promise<string> => (await machine.must("uname -r")).trim();

/** An orderly reboot that only a person at the console can finish. */
export async function rebootByHand(machine: Machine): Promise<void> {
  await rebootTyped(machine, () => machine.run("systemctl reboot"));
}

/**
 * Comes up anew to a login after `start`, and nothing is asked on the way.
 * @returns what the console showed @throws Error at once where `start` is a command that fails
 */
export async function comeBack(machine: Machine, start: () => Promise<Outcome | undefined>): Promise<string> {
  const from = machine.console.transcript().length;
  await machine.restart(start, DEADLINE_MS);
  await machine.login();
  const shown = machine.console.transcript().slice(from);
  assert.doesNotMatch(shown, PROMPT);
  return shown;
}

export async function assertBooted(machine: Machine, entry: NamedEntry): Promise<void> {
  assert.equal(await releaseOf(machine), entry.release);
  assert.equal(await runningCmdline(machine), entry.cmdline);
}

/** Loaders put a word of theirs in front: BOOT_IMAGE=, initrd=. */
async function runningCmdline(machine: Machine): Promise<string> {
  const words = (await machine.must("cat /proc/cmdline")).trim().split(" ");
  return words.filter((word) => !/^(?:BOOT_IMAGE|initrd)=/.test(word)).join(" ");
}
