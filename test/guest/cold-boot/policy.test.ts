/**
 * An encrypted root whose key server decides. Under `lease` the machine comes back from its own
 * reboot through stock clevis, and not from a power cut, until an operator opens a lease. Under
 * `alive` it comes back from a power cut; gone for longer than its timeout it stays locked, after
 * the server was restarted too, until an operator unlocks it. Under `approval` it asks at its
 * prompt, and opens by itself once an operator has approved. The commands are those of
 * docs/guide/encrypted-root.md and docs/policy.md.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { KeyServer } from "../harness/key-server.ts";
import { type Machine, startMachine } from "../harness/machine.ts";
import { onlyInFull } from "../harness/requirements.ts";
import {
  BOOKWORM,
  bind,
  DEADLINE_MS,
  FORGET_DATA,
  guideCommands,
  openedByHand,
  withRootMachine,
} from "../harness/root-machine.ts";

/** Longer than the five minutes after which a silent machine is locked. */
const TIMEOUT_MS = 600_000;
const GRACE_MS = 60_000;
const fromGuide = guideCommands("encrypted-root.md");
/** Longer than stock clevis waits before it asks again. */
const AGAIN_MS = 30_000;

/** Waits at the prompt until the server has been asked in vain, and a while more. */
async function staysClosed(machine: Machine, isRefused: () => Promise<boolean>): Promise<void> {
  await machine.console.waitFor(/nightlatch: no key yet: [^\n]*The passphrase can be typed/, DEADLINE_MS);
  for (const deadline = Date.now() + TIMEOUT_MS; !(await isRefused()); await pause(500))
    assert.ok(Date.now() < deadline, machine.console.tail());
  const from = machine.console.transcript().length;
  await pause(AGAIN_MS);
  assert.doesNotMatch(machine.console.transcript().slice(from), /login: /);
}

/** Whether the server has refused a latch for that reason, and for no other since. */
async function refused(server: KeyServer, reason: string): Promise<boolean> {
  const { latches } = await server.machine("show", "nas");
  return (latches as { lastRefusal: { reason: string } | null }[]).some(
    (latch) => latch.lastRefusal?.reason === reason,
  );
}

/** What waits for an operator's word. */
async function waiting(server: KeyServer): Promise<string[]> {
  const { requests } = await server.command("request", "list");
  return (requests as { id: string; state: string }[]).flatMap(({ id, state }) => (state === "waiting" ? [id] : []));
}

/** Under `alive` a machine must have been heard. */
async function isHeard(server: KeyServer): Promise<void> {
  for (const deadline = Date.now() + TIMEOUT_MS; ; await pause(2000)) {
    try {
      await server.machine("policy", "nas", "alive", "--timeout", "5m");
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

async function coldBoots(): Promise<void> {
  await withRootMachine(BOOKWORM, async ({ server, options }) => {
    await openedByHand(options, async (machine) => {
      await machine.must(FORGET_DATA);
      const INVITE = await server.invite("nas");
      await bind(machine, fromGuide("nightlatch bind /dev/vda latch INVITE --setup", { INVITE }));
      await bind(machine, "nightlatch bind /dev/vdb latch");
      await server.machine("policy", "nas", "lease");
      await machine.restart(() => machine.run("nightlatch reboot --via bindings --yes", DEADLINE_MS), DEADLINE_MS);
      await machine.login(DEADLINE_MS);

      // The plug is pulled, once the grace of that boot is over.
      await machine.must("sync");
      await pause(GRACE_MS);
      await machine.reset();
      await staysClosed(machine, () => refused(server, "policy/lease-used"));
      await server.machine("lease", "nas", "15m");
      await machine.login(DEADLINE_MS);

      await machine.must("systemctl enable --now nightlatch-heartbeat");
      await isHeard(server);
      await machine.must("sync");
      await machine.reset();
      await machine.login(DEADLINE_MS);
      // Its heartbeat ends the quarter of an hour that the release has given it.
      const told = "journalctl -b -u nightlatch-heartbeat | grep -q 'hears this machine'";
      await machine.must(`until ${told}; do sleep 1; done`, DEADLINE_MS);
    });
    await untilLocked(server);
    await server.restart();
    {
      await using machine = await startMachine(options);
      await staysClosed(machine, () => refused(server, "machine/locked"));
      await server.machine("unlock", "nas");
      await machine.login(DEADLINE_MS);

      await server.machine("policy", "nas", "approval", "--of", "1");
      await machine.must("sync");
      await machine.reset();
      await staysClosed(machine, async () => (await waiting(server)).length > 0);
      for (const id of await waiting(server)) await server.command("request", "approve", id);
      await machine.login(DEADLINE_MS);
      await machine.powerOff(DEADLINE_MS);
    }
  });
}

/** Nothing is heard of it. */
async function untilLocked(server: KeyServer): Promise<void> {
  for (const deadline = Date.now() + TIMEOUT_MS; ; await pause(2000)) {
    const { machine } = await server.machine("show", "nas");
    const { state } = machine as { state: string };
    if (state === "locked") return;
    assert.ok(Date.now() < deadline, `it is ${state}`);
  }
}

describe("Debian 12, initramfs-tools, under a policy", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("a root comes back where its policy allows it, and stays closed where not", coldBoots);
});
