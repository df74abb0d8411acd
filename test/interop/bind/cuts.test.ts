/** A bind that does not come to its end, and what the next command makes of what it left. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, folder, inviteAt, keyArgs, makeImage, SMALL, served } from "../../support/bind-bench.ts";
import { faultySystem, PowerCut } from "../../support/faults.ts";
import { look, makeState, TestServer } from "../../support/luks-change.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
const server = served();
const invite = () => inviteAt(server());

const template = makeVolume(folder, "template.img", "luks2", SMALL.luks2, 4);
addSlot(template, "second", ["--key-slot", "2"]);

/** What a bind leaves that was begun any number of times. */
async function assertBoundOnce(image: string, state: string, what: string): Promise<void> {
  assert.deepEqual(
    await look({ image, stateFolder: state, server: new TestServer() }),
    { slots: [0, 1, 2], tokens: ["clevis 1"], files: [] },
    what,
  );
  assert.deepEqual(
    readdirSync(state).filter((name) => /^pending-|\.tmp$/.test(name)),
    [],
    what,
  );
  for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(image, passphrase), what);
}

test("the power goes after the steps of a bind that enrols; the same command completes it", async () => {
  for (let at = 1; ; at += isFull ? 1 : 2) {
    const image = join(folder, `cut-${at}.img`);
    const state = makeState(folder);
    copyFileSync(template, image);
    const args = [image, "latch", await invite(), ...keyArgs(state)];
    const system = faultySystem(nodeSystem, { at, when: "after" });
    const outcome = await runCommand(bind, args, system).catch((error: unknown) => error);
    assert.ok(!system.wasCut || outcome instanceof PowerCut || outcome instanceof Error);
    const what = `cut after step ${at}, ${system.steps.at(-1)}`;
    for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(image, passphrase), what);
    if (!system.wasCut) {
      assert.ok(at > 15, `only ${at} steps`);
      return assertBoundOnce(image, state, "never cut");
    }
    const again = await runCommand(bind, args, nodeSystem);
    assert.equal(again.status, 0);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0, what);
    await assertBoundOnce(image, state, what);
  }
});

/** Kills the command as a process after a random time, then runs it to its end. */
async function killAndRepeat(args: readonly string[], delayMs: number): Promise<void> {
  const child = spawn(COMMAND, args, { stdio: "ignore" });
  const timer = setTimeout(() => child.kill("SIGKILL"), delayMs);
  await new Promise((done) => child.on("exit", done));
  clearTimeout(timer);
  const image = args[1] ?? "";
  for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(image, passphrase), `killed after ${delayMs} ms`);
  const again = spawnSync(COMMAND, args, { encoding: "utf8" });
  // An unbind that was done already when it was killed has nothing left to remove.
  const isDone = args[0] === "unbind" && again.stderr.includes("[luks/not-bound]");
  assert.ok(again.status === 0 || isDone, `killed after ${delayMs} ms: ${again.stderr}`);
}

test("bind, rebind and unbind are killed as processes, at any moment; the same command completes each", async () => {
  for (let round = 0; round < (isFull ? 40 : 3); round++) {
    const image = join(folder, `killed-${round}.img`);
    const state = makeState(folder);
    copyFileSync(template, image);
    const delayMs = () => 300 + Math.random() * 1200;
    const first = delayMs();
    await killAndRepeat(["bind", image, "latch", await invite(), ...keyArgs(state)], first);
    await assertBoundOnce(image, state, `bind killed after ${first} ms`);
    await killAndRepeat(["bind", image, "latch", "--replace", ...keyArgs(state)], delayMs());
    const seen = await look({ image, stateFolder: state, server: new TestServer() });
    assert.deepEqual([seen.slots.length, seen.tokens.length, seen.files], [3, 1, []]);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0);
    await killAndRepeat(["unbind", image, ...keyArgs(state)], delayMs());
    const left = await look({ image, stateFolder: state, server: new TestServer() });
    assert.deepEqual(left, { slots: [0, 2], tokens: [], files: [] });
  }
});

test("a file that a killed run was writing is removed by the next", async () => {
  const { image, state } = makeImage("luks2");
  const strays = ["identity.key.1bf767b19d56.tmp", "pending-2c12f578-35f0.json.1c38ddaec562.tmp"];
  for (const name of [...strays, "notes.tmp"]) writeFileSync(join(state, name), "x");
  await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  assert.deepEqual(
    readdirSync(state).filter((name) => name.endsWith(".tmp")),
    ["notes.tmp"],
  );
});

test("status tells what a cut-off run left, and a change that is under way", async () => {
  const { image, state } = makeImage("luks2");
  const args = [image, "latch", await invite(), ...keyArgs(state)];
  const leftover = async () => {
    const shown = await runCommand(
      status,
      [image, "--offline", "--crypttab", "/nonexistent", "--state", state],
      nodeSystem,
    );
    return (shown.result["volumes"] as { leftovers: string[] }[])[0]?.leftovers ?? [];
  };
  for (let at = 1; ; at++) {
    const system = faultySystem(nodeSystem, { at, when: "after" });
    await assert.rejects(runCommand(bind, args, system), PowerCut);
    if (system.steps.at(-1) === "cryptsetup luksAddKey -q") break;
  }
  const [intent, backup, ...more] = await leftover();
  assert.equal(intent, "a binding that was cut short (adding keyslot 1); the next bind or unbind clears it up");
  assert.match(backup ?? "", /^a header backup of a change that was cut short: \S+\/header-[-0-9a-f]{36}\.1\.backup$/);
  assert.deepEqual(more, []);
  await using _ = await nodeSystem.lock(join(state, "lock"), 0);
  assert.deepEqual(await leftover(), ["a change is under way; look again when it is done"]);
});
