/**
 * An encrypted root that opens by a key server and the machine's TPM together, at a cold boot. Each
 * alone is not enough: another chip, a server that refuses, and a machine that was started in
 * another state end at the prompt, which takes the passphrase. What is going to happen is told
 * beforehand. The commands are those of docs/guide/tpm.md.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import type { KeyServer } from "../harness/key-server.ts";
import { type Machine, type MachineOptions, startMachine } from "../harness/machine.ts";
import { PROMPT } from "../harness/prompt.ts";
import { onlyInFull } from "../harness/requirements.ts";
import {
  BOOKWORM,
  bind,
  comesBack,
  DEADLINE_MS,
  FORGET_DATA,
  guideCommands,
  openedByHand,
  typeUntilLogin,
  withRootMachine,
} from "../harness/root-machine.ts";

const fromGuide = guideCommands("tpm.md");

/** GRUB measures what it starts where it has this module; Debian's signed one has it. */
const MEASURING_GRUB =
  "grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram --modules=tpm";

interface Release {
  readonly at: unknown;
}

/** Waits until the server has given its share so many times more. */
async function released(server: KeyServer, times: number): Promise<void> {
  const seen = new Set<unknown>();
  const look = async (): Promise<unknown[]> => {
    const { latches } = await server.machine("show", "nas");
    return (latches as { lastRelease?: Release | null }[]).map(({ lastRelease }) => lastRelease?.at ?? null);
  };
  const before = new Set(await look());
  while (seen.size < times) {
    for (const at of await look()) if (!before.has(at)) seen.add(at);
    await pause(500);
  }
}

const checked = async (machine: Machine): Promise<{ status: number; codes: string[]; root: string }> => {
  const { status, stdout } = await machine.run(`${fromGuide("nightlatch check")} --json`, DEADLINE_MS);
  const { findings } = JSON.parse(stdout) as { findings: { code: string }[] };
  const { volumes } = JSON.parse(await machine.must("nightlatch status /dev/vda --json", DEADLINE_MS));
  return { status, codes: findings.map(({ code }) => code), root: volumes[0].nextBoot.will };
};

/** The server gives its share, the chip does not give the other: the passphrase is what is left. */
async function asks(options: MachineOptions, server: KeyServer, use: (machine: Machine) => Promise<void>) {
  await using machine = await startMachine(options);
  await machine.console.waitFor(PROMPT, DEADLINE_MS);
  await released(server, 2); // so the first did not open it
  machine.console.type(`${PASSPHRASE}\n`);
  await typeUntilLogin(machine);
  await use(machine);
  await machine.powerOff(DEADLINE_MS);
}

async function coldBoots(note: (text: string) => void): Promise<void> {
  const kind = { ...BOOKWORM, shelf: ["clevis-initramfs", "clevis-tpm2", "tpm2-tools"], loader: "grub-efi" } as const;
  await withRootMachine(kind, async ({ server, options: made, folder }) => {
    const options = { ...made, tpm: join(folder, "tpm") };
    await openedByHand(options, async (machine) => {
      await machine.must(FORGET_DATA);
      await machine.must(MEASURING_GRUB, DEADLINE_MS);
      const INVITE = await server.invite("nas");
      const told = await bind(
        machine,
        fromGuide("nightlatch bind /dev/vda sss 2 latch INVITE tpm2 pcr=7 --setup", { INVITE }),
      );
      assert.match(told, /install clevis-tpm2; install clevis-initramfs/);
      assert.match(told, /was made anew, read back and proved/);
      await bind(machine, fromGuide("nightlatch bind /dev/vdb sss 2 latch tpm2 pcr=7"));
      assert.deepEqual(await checked(machine), { status: 0, codes: [], root: "open" });
    });
    const seconds = await comesBack(options, async (machine) => {
      assert.match(await machine.must("cat /sys/class/tpm/tpm0/tpm_version_major"), /^2$/m);
      const reboot = () => machine.run(`${fromGuide("nightlatch reboot --via bindings")} --yes`, DEADLINE_MS);
      await machine.restart(reboot, DEADLINE_MS);
      await machine.login(DEADLINE_MS);
      await bind(machine, fromGuide("nightlatch bind /dev/vda sss 2 latch tpm2 pcr=7,9 --replace"));
    });
    note(`opened by itself, by server and TPM: login ${Math.round(seconds)} s after power-on`);

    await server.machine("lock", "nas");
    {
      await using machine = await startMachine(options);
      await machine.console.waitFor(/nightlatch: no key yet: [^\n]*this machine is locked there/, DEADLINE_MS);
      machine.console.type(`${PASSPHRASE}\n`);
      await typeUntilLogin(machine);
      await machine.powerOff(DEADLINE_MS);
    }
    await server.machine("unlock", "nas");

    // The disk in another machine.
    await asks({ ...options, tpm: join(folder, "other") }, server, async (machine) => {
      const { status, codes, root } = await checked(machine);
      assert.deepEqual([status, root], [1, "ask"]);
      assert.ok(codes.includes("check/binding"), codes.join());
    });

    // Sealed to what GRUB loads, it opens until that is another one.
    const again = await comesBack(options, async (machine) => {
      assert.deepEqual(await checked(machine), { status: 0, codes: [], root: "open" });
      await machine.must("update-initramfs -u", DEADLINE_MS);
      assert.deepEqual(await checked(machine), { status: 1, codes: ["check/tpm-update"], root: "ask" });
    });
    note(`the same, sealed to register 9 too: login ${Math.round(again)} s after power-on`);
    await asks(options, server, async (machine) => {
      const { status, codes, root } = await checked(machine);
      assert.deepEqual([status, root], [1, "ask"]);
      assert.deepEqual([...new Set(codes)], ["check/binding"]);
    });
  });
}

describe("Debian 12, initramfs-tools, with a TPM", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("a root opens by server and TPM together, and by neither alone", (t) => coldBoots((text) => t.diagnostic(text)));
});
