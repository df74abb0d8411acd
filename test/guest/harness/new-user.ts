/**
 * The new user's way: a root is bound to a latch, then nothing is done but what `nightlatch check`
 * prints, to the letter. Switched off and on, the machine comes back by itself; locked at the
 * server, it asks, and the passphrase opens it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Finding, FindingCode } from "../../../src/check/judge/finding.ts";
import { type EncryptedRoot, PASSPHRASE } from "./encrypted-root.ts";
import { firmwareMachine } from "./firmware-machine.ts";
import { type KeyServer, startKeyServer } from "./key-server.ts";
import { type Machine, type MachineOptions, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { typePassphrase } from "./prompt.ts";
import { stepsOf } from "./remedy.ts";
import { onlyInFull } from "./requirements.ts";

/** Emulated, an initramfs takes minutes to make. */
const DEADLINE_MS = 2_400_000;

type Kind = Omit<EncryptedRoot, "deb" | "loader">;

async function check(machine: Machine): Promise<Finding[]> {
  const { status, stdout, stderr } = await machine.run("nightlatch check --json", DEADLINE_MS);
  assert.ok(status === 0 || status === 1, stderr);
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
}

async function outlook(machine: Machine): Promise<{ will: string; stage: string; text: string }> {
  const { volumes } = JSON.parse(await machine.must("nightlatch status /dev/vda --json", DEADLINE_MS));
  return volumes[0].nextBoot;
}

async function apply(machine: Machine, remedy: string): Promise<void> {
  for (const step of stepsOf(remedy)) {
    if ("command" in step) await machine.must(step.command, DEADLINE_MS);
    else await machine.must(`sed -i '${step.line}c\\'"$(cat)" ${step.file}`, DEADLINE_MS, step.text);
  }
}

/** Everything that is said, the worst first, until nothing more is. */
async function followAdvice(machine: Machine): Promise<string[]> {
  const followed: string[] = [];
  for (let round = 0; round < 4; round++) {
    const findings = await check(machine);
    if (findings.length === 0) return followed;
    followed.push(...findings.map(({ code }) => code));
    // Two volumes may want the same.
    for (const remedy of new Set(findings.map(({ remedy }) => remedy))) await apply(machine, remedy);
  }
  throw new Error(`check does not come to an end: ${JSON.stringify(await check(machine))}`);
}

async function bindEverything(machine: Machine, server: KeyServer): Promise<void> {
  for (const [device, words] of [
    ["/dev/vda", await server.invite("nas")],
    ["/dev/vdb", ""],
    ["/dev/vdc", ""],
  ]) {
    await machine.must(`nightlatch bind ${device} latch ${words} --key-file -`, DEADLINE_MS, PASSPHRASE);
  }
}

/** Switched on again, nothing typed. */
async function comesBack(options: MachineOptions, use: (machine: Machine) => Promise<void>): Promise<void> {
  await using machine = await startMachine(options);
  await machine.login(DEADLINE_MS);
  await use(machine);
}

async function newUser(kind: Kind, expected: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-new-user-"));
  try {
    await using server = await startKeyServer();
    const made = await firmwareMachine({ ...kind, loader: "grub-bios", deb: await builtPackage() }, folder);
    const options = { ...made, forwards: [server.forward], overlay: join(folder, "root.qcow2") };
    {
      await using machine = await startMachine(options);
      await typePassphrase(machine.console);
      await machine.login(DEADLINE_MS);
      assert.equal((await outlook(machine)).will, "ask");
      await bindEverything(machine, server);
      const before = await outlook(machine);
      assert.deepEqual([before.will, before.stage], ["ask", "initramfs"], before.text);
      const followed = await followAdvice(machine);
      for (const code of expected) assert.ok(followed.includes(code), `${code}: ${followed.join(", ")}`);
      assert.deepEqual(await outlook(machine).then(({ will, stage }) => [will, stage]), ["open", "initramfs"]);
      await machine.must("nightlatch reboot --via bindings --dry-run", DEADLINE_MS);
      await machine.powerOff(DEADLINE_MS);
    }
    await comesBack(options, async (machine) => {
      // Whoever looks may see the question: clevis answers it. Nobody here did.
      const isThere = "findmnt -n /srv && swapon --noheadings | grep -q .";
      await machine.must(`for try in {1..60}; do { ${isThere}; } && exit; sleep 5; done; exit 1`, DEADLINE_MS);
      assert.deepEqual(await check(machine), []);
      await server.machine("lock", "nas");
      const locked = await outlook(machine);
      assert.equal(locked.will, "ask", locked.text);
      await machine.powerOff(DEADLINE_MS);
    });
    await using machine = await startMachine(options);
    await typePassphrase(machine.console);
    await machine.login(DEADLINE_MS);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * One file a generator: each takes half an hour where nothing is accelerated.
 * @param expected findings that the way leads over
 */
export function testNewUser(name: string, kind: Kind, expected: readonly FindingCode[]): void {
  describe(name, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("nothing but what check prints: it comes back by itself, and asks when it is locked", () =>
      newUser(kind, expected));
  });
}
