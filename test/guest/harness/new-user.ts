/**
 * The new user's way: a root is bound to a latch, then nothing is done but what `nightlatch check`
 * prints, to the letter. Switched off and on, the machine comes back by itself; locked at the
 * server, it asks, and the passphrase opens it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Finding, FindingCode } from "../../../src/check/judge/finding.ts";
import { PASSPHRASE } from "./encrypted-root.ts";
import type { KeyServer } from "./key-server.ts";
import type { Machine } from "./machine.ts";
import { stepsOf } from "./remedy.ts";
import { onlyInFull } from "./requirements.ts";
import { comesBack, DEADLINE_MS, openedByHand, type RootKind, withRootMachine } from "./root-machine.ts";

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

async function newUser(kind: RootKind, expected: readonly string[]): Promise<void> {
  await withRootMachine(kind, async ({ server, options }) => {
    await openedByHand(options, async (machine) => {
      assert.equal((await outlook(machine)).will, "ask");
      await bindEverything(machine, server);
      const before = await outlook(machine);
      assert.deepEqual([before.will, before.stage], ["ask", "initramfs"], before.text);
      const followed = await followAdvice(machine);
      for (const code of expected) assert.ok(followed.includes(code), `${code}: ${followed.join(", ")}`);
      assert.deepEqual(await outlook(machine).then(({ will, stage }) => [will, stage]), ["open", "initramfs"]);
      await machine.must("nightlatch reboot --via bindings --dry-run", DEADLINE_MS);
    });
    await comesBack(options, async (machine) => {
      // Whoever looks may see the question: clevis answers it. Nobody here did.
      const isThere = "findmnt -n /srv && swapon --noheadings | grep -q .";
      await machine.must(`for try in {1..60}; do { ${isThere}; } && exit; sleep 5; done; exit 1`, DEADLINE_MS);
      assert.deepEqual(await check(machine), []);
      await server.machine("lock", "nas");
      const locked = await outlook(machine);
      assert.equal(locked.will, "ask", locked.text);
    });
    await openedByHand(options, async () => {});
  });
}

/**
 * One file a generator: each takes half an hour where nothing is accelerated.
 * @param expected findings that the way leads over
 */
export function testNewUser(name: string, kind: RootKind, expected: readonly FindingCode[]): void {
  describe(name, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("nothing but what check prints: it comes back by itself, and asks when it is locked", () =>
      newUser(kind, expected));
  });
}
