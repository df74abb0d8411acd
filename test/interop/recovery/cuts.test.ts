/** A recovery key whose making or removal is cut short, and what the next run makes of it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as add } from "../../../src/cli/commands/recovery/add.ts";
import { command as remove } from "../../../src/cli/commands/recovery/remove.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND } from "../../support/bind-bench.ts";
import { type Fault, faultySystem } from "../../support/faults.ts";
import { look, makeState, TestServer } from "../../support/luks-change.ts";
import { folder, keyOn, makeImage, writer } from "../../support/recovery-bench.ts";
import { runCommand } from "../../support/terminal.ts";
import { opens, PASSPHRASE } from "../../support/volumes.ts";

const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
const WITHOUT = { slots: [0, 2], tokens: [] as string[], files: [] as string[] };
const WITH = { slots: [0, 1, 2], tokens: ["systemd-recovery 1"], files: [] as string[] };

const lookAt = (image: string, stateFolder: string) => look({ image, stateFolder, server: new TestServer() });

function assertOpens(image: string, what: string): void {
  for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(image, passphrase), what);
}

/**
 * The next run of `recovery add`, after one that gave a key or none. What opens is known, and
 * nothing else is there.
 */
async function addAgain(image: string, state: string, given: string | undefined, what: string): Promise<string> {
  const isDone = JSON.stringify(await lookAt(image, state)) === JSON.stringify(WITH);
  assert.ok(!isDone || opens(image, given ?? "", 1), what);
  if (isDone) return "done";
  const person = writer();
  const { result, hints } = await runCommand(add, [image, "--state", state], nodeSystem, person);
  const outcome = result["outcome"];
  const valid = outcome === "completed" ? given : person.keys[0];
  assert.equal(person.keys.length, outcome === "completed" ? 0 : 1, what);
  assert.deepEqual(await lookAt(image, state), WITH, what);
  assert.ok(opens(image, valid ?? "", 1), what);
  const isUndone = hints.some((hint) => /it gave opens nothing/.test(hint));
  assert.equal(isUndone, (result["settled"] as { outcome: string }[])[0]?.outcome === "undone", what);
  assertOpens(image, what);
  return String(outcome);
}

for (const when of isFull ? (["after", "during"] as const) : (["after"] as const)) {
  test(`recovery add: the power goes ${when} each step; nothing is left but what somebody knows the key of`, async () => {
    const outcomes = new Set<string>();
    for (let at = 1; ; at++) {
      const { image, state } = makeImage();
      const person = writer();
      const fault: Fault = { at, when, delayMs: Math.random() * 40 };
      const system = faultySystem(nodeSystem, fault);
      await runCommand(add, [image, "--state", state], system, person).catch((error: unknown) => {
        if (!system.wasCut) throw error;
      });
      const what = `cut ${when} step ${at}, ${system.steps.at(-1)}`;
      assertOpens(image, what);
      if (!system.wasCut) {
        assert.ok(at > 10, `only ${at} steps`);
        assert.deepEqual(await lookAt(image, state), WITH);
        break;
      }
      // Where no key was given yet, no keyslot is there, whatever comes next.
      if (person.keys.length === 0) assert.deepEqual((await lookAt(image, state)).slots, WITHOUT.slots, what);
      outcomes.add(await addAgain(image, state, person.keys[0], what));
    }
    assert.ok(outcomes.has("added") && outcomes.has("completed"), [...outcomes].join());
  });
}

for (const when of isFull ? (["after", "during"] as const) : (["after"] as const)) {
  test(`recovery remove: the power goes ${when} each step; the next run completes it`, async () => {
    const { image: template, state: made } = makeImage();
    const person = writer();
    await runCommand(add, [template, "--state", made], nodeSystem, person);
    for (let at = 1; ; at++) {
      const image = join(folder, `remove-${when}-${at}.img`);
      const state = makeState(folder);
      copyFileSync(template, image);
      const system = faultySystem(nodeSystem, { at, when, delayMs: Math.random() * 40 });
      const typing = () => ({ passphrase: PASSPHRASE, agrees: true });
      await runCommand(remove, [image, "--state", state], system, typing()).catch((error: unknown) => {
        if (!system.wasCut) throw error;
      });
      const what = `cut ${when} step ${at}, ${system.steps.at(-1)}`;
      assertOpens(image, what);
      const { slots, tokens, files } = await lookAt(image, state);
      const isDone = JSON.stringify({ slots, tokens, files }) === JSON.stringify(WITHOUT);
      if (!isDone) await runCommand(remove, [image, "--state", state], nodeSystem, typing());
      assert.deepEqual(await lookAt(image, state), WITHOUT, what);
      assert.ok(!opens(image, person.keys[0] ?? ""), what);
      assertOpens(image, what);
      if (!system.wasCut) return assert.ok(at > 8, `only ${at} steps`);
    }
  });
}

/** Runs `recovery add --print` as a process, killed after a time where one is given. */
async function addAsProcess(image: string, state: string, keyFile: string, delayMs: number | null): Promise<string> {
  const args = ["recovery", "add", image, "--print", "--key-file", keyFile, "--state", state];
  const child = spawn(COMMAND, args, { stdio: ["ignore", "pipe", "ignore"] });
  const timer = delayMs === null ? null : setTimeout(() => child.kill("SIGKILL"), delayMs);
  const printed: Buffer[] = [];
  child.stdout.on("data", (bytes: Buffer) => printed.push(bytes));
  await new Promise((done) => child.on("close", done));
  if (timer !== null) clearTimeout(timer);
  return Buffer.concat(printed).toString();
}

test("recovery add is killed as a process at any moment; no keyslot is left that nobody knows", async () => {
  const keyFile = join(folder, "passphrase");
  await nodeSystem.writeFile(keyFile, Buffer.from(PASSPHRASE), 0o600);
  for (let round = 0; round < (isFull ? 40 : 3); round++) {
    const { image, state } = makeImage();
    const delayMs = 300 + Math.random() * 1500;
    const first = await addAsProcess(image, state, keyFile, delayMs);
    assertOpens(image, `killed after ${delayMs} ms`);
    const second = await addAsProcess(image, state, keyFile, null);
    const { slots, tokens, files } = await lookAt(image, state);
    assert.deepEqual(files, []);
    assert.equal(tokens.length, slots.length - 2);
    const keys = [first, second].filter((text) => text !== "").map((text) => keyOn(Buffer.from(text)));
    for (const slot of slots.filter((number) => number !== 0 && number !== 2)) {
      assert.ok(
        keys.some((key) => opens(image, key, slot)),
        `keyslot ${slot}, killed after ${delayMs} ms`,
      );
    }
    assertOpens(image, `run again after a kill at ${delayMs} ms`);
  }
});
