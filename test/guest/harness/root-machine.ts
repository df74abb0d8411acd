/**
 * A machine with an encrypted root, our package and a key server beside it, for tests that switch
 * it off and on.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EncryptedRoot, PASSPHRASE } from "./encrypted-root.ts";
import { firmwareMachine } from "./firmware-machine.ts";
import { type KeyServer, startKeyServer } from "./key-server.ts";
import { type Machine, type MachineOptions, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { PROMPT, typePassphrase } from "./prompt.ts";

/** Emulated, an initramfs takes minutes to make. */
export const DEADLINE_MS = 2_400_000;

export type RootKind = Omit<EncryptedRoot, "deb">;

interface RootMachine {
  readonly server: KeyServer;
  /** With its own disks, and the server in its network. */
  readonly options: MachineOptions;
  /** Of the machine, for whatever else belongs to it. */
  readonly folder: string;
}

/** A machine with an encrypted root and our package, and a key server beside it. */
export async function withRootMachine(kind: RootKind, use: (parts: RootMachine) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-cold-boot-"));
  try {
    await using server = await startKeyServer();
    const made = await firmwareMachine({ loader: "grub-bios", ...kind, deb: await builtPackage() }, folder);
    const options = { ...made, forwards: [server.forward], overlay: join(folder, "root.qcow2") };
    await use({ server, options, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Switched on, opened by hand, and switched off. */
export async function openedByHand(options: MachineOptions, use: (machine: Machine) => Promise<void>): Promise<void> {
  await using machine = await startMachine(options);
  await typePassphrase(machine.console);
  await machine.login(DEADLINE_MS);
  await use(machine);
  await machine.powerOff(DEADLINE_MS);
}

/** Debian 12, with clevis for its own apt. */
export const BOOKWORM = {
  suite: "bookworm",
  generator: "initramfs-tools",
  compression: "zstd",
  shelf: ["clevis-initramfs"],
} as const satisfies RootKind;

/** Seconds from power-on to the login prompt, nothing typed. */
export async function comesBack(options: MachineOptions, use: (machine: Machine) => Promise<void>): Promise<number> {
  await using machine = await startMachine(options);
  const began = performance.now();
  await machine.login(DEADLINE_MS);
  const seconds = (performance.now() - began) / 1000;
  await use(machine);
  await machine.powerOff(DEADLINE_MS);
  return seconds;
}

/** Both volumes have one passphrase; whether the second asks is the boot's affair. */
export async function typeUntilLogin(machine: Machine): Promise<void> {
  for (;;) {
    const [asked] = await machine.console.waitFor(new RegExp(`${PROMPT.source}|(?=login: )`), DEADLINE_MS);
    if (asked === "") return machine.login(DEADLINE_MS);
    machine.console.type(`${PASSPHRASE}\n`);
  }
}

export const bind = (machine: Machine, command: string): Promise<string> =>
  machine.must(`${command} --key-file -`, DEADLINE_MS, PASSPHRASE);

/** `check` has nothing to say; else the failure tells what it said. */
export async function findsNothing(machine: Machine, command = "nightlatch check"): Promise<void> {
  const { status, stdout, stderr } = await machine.run(command, DEADLINE_MS);
  assert.equal(status, 0, `${stdout}${stderr}`);
}

/** The data volume is the agent's affair, and another test's. */
export const FORGET_DATA = "sed -i '/^data /d' /etc/crypttab; sed -i '/mapper.data/d' /etc/fstab";

/** Gives a command of a page of docs/guide, with its words in capitals filled in. */
export function guideCommands(page: string) {
  const guide = readFileSync(join(import.meta.dirname, "../../../docs/guide", page), "utf8");
  return (command: string, words: Readonly<Record<string, string>> = {}): string => {
    assert.ok(guide.includes(`# ${command}\n`) || guide.includes(`# ${command} `), `the guide says: ${command}`);
    return Object.entries(words).reduce((text, [word, value]) => text.replace(word, value), command);
  };
}
