/** Bindings to the machine's TPM whose making or replacing is cut short, and what comes of it. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { folder, keyArgs, SMALL } from "../../support/bind-bench.ts";
import { faultySystem, listFaults } from "../../support/faults.ts";
import { look, makeState, TestServer } from "../../support/luks-change.ts";
import { type Person, runCommand } from "../../support/terminal.ts";
import { noSwtpm, type Swtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
/** A person who types the same PIN wherever one is asked for. */
const PIN: Person = { passphrase: "2580" };
const lookAt = (image: string, stateFolder: string) => look({ image, stateFolder, server: new TestServer() });

describe("bind tpm2, cut short", { skip: noSwtpm, concurrency: 1 }, () => {
  let chip: Swtpm;
  before(async () => {
    chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  });
  after(() => chip[Symbol.asyncDispose]());

  /** What nobody would know the key of: a keyslot without a token that no record speaks of. */
  async function assertNothingUnknown(image: string, state: string, what: string): Promise<void> {
    const { slots, tokens, files } = await lookAt(image, state);
    const bound = tokens.flatMap((token) => (token.startsWith("clevis ") ? token.slice(7).split(",") : []));
    const loose = slots.filter((slot) => slot !== 0 && !bound.includes(String(slot)));
    assert.ok(loose.length === 0 || files.some((name) => name.startsWith("intent-")), `${what}: ${loose}`);
  }

  /**
   * Cuts a command off at steps, each time on a copy, looks at what is left, and runs it again.
   * @param words behind the volume
   * @param isBound whether the volume is bound before
   */
  async function cutOff(words: readonly string[], isBound: boolean, sample: readonly string[]) {
    const name = `tpm2-${words.join("")}`;
    const template = makeVolume(folder, `${name}.img`, "luks2", SMALL.luks2, 4);
    const made = makeState(folder);
    const isWord = (word: string) => word !== "--replace";
    if (isBound) await runCommand(bind, [template, ...words.filter(isWord), ...keyArgs(made)], nodeSystem, PIN);
    const begin = (copy: string) => {
      const [image, state] = [join(folder, `${name}-${copy}.img`), makeState(folder)];
      copyFileSync(template, image);
      for (const file of readdirSync(made)) copyFileSync(join(made, file), join(state, file));
      return { image, state, args: [image, ...words, ...keyArgs(state)] };
    };
    const whole = begin("whole");
    const run = (system: System) => runCommand(bind, whole.args, system, PIN);
    const all = await listFaults(nodeSystem, [whole.image, whole.state], run);
    assert.ok(all.length > 10, all.map(({ step }) => step).join("\n"));
    const last = (step: string) => all.findLast((fault) => fault.step.startsWith(step) && fault.when === "after");
    const faults = isFull ? all : sample.map((step) => last(step) ?? assert.fail(step));
    for (const fault of faults) {
      const { image, state, args } = begin(`${fault.when}-${fault.at}`);
      const system = faultySystem(nodeSystem, fault);
      await runCommand(bind, args, system, PIN).catch((error: unknown) => {
        if (!system.wasCut) throw error;
      });
      const what = `cut ${fault.when} step ${fault.at}, ${system.steps.at(-1)}`;
      assert.ok(system.wasCut, what);
      assert.ok(opens(image, PASSPHRASE), what);
      await assertNothingUnknown(image, state, what);
      // One of the two bindings opens it, before anything is cleared up.
      if (isBound) assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem, PIN)).status, 0, what);
      const again = await runCommand(bind, args, nodeSystem, PIN);
      assert.equal(again.status, 0, what);
      const { slots, tokens, files } = await lookAt(image, state);
      assert.deepEqual([slots.length, tokens, files], [2, [`clevis ${slots[1]}`], []], what);
      assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem, PIN)).status, 0, what);
      assert.ok(opens(image, PASSPHRASE), what);
    }
  }

  test("a binding: it is whole or gone, and the same command completes it", async () => {
    await cutOff(["tpm2", "pcr=7"], false, ["cryptsetup luksAddKey", "cryptsetup token import"]);
  });

  test("a rebinding: by one of the two the volume opens", async () => {
    await cutOff(["tpm2", "pcr=7", "--replace"], true, ["cryptsetup token import", "cryptsetup luksKillSlot"]);
  });

  test("a binding with a PIN: the person who clears up is asked for it, and no keyslot is left", async () => {
    await cutOff(["tpm2", "pcr=7", "pin"], false, ["cryptsetup token import"]);
  });

  test("what is left of a binding with a PIN goes where the person who clears up does not know it", async () => {
    const begin = (name: string) => {
      const state = makeState(folder);
      const image = makeVolume(folder, `${name}.img`, "luks2", SMALL.luks2, 4);
      return { state, image, args: [image, "tpm2", "pin", ...keyArgs(state)] };
    };
    const counting = faultySystem(nodeSystem, { at: Number.POSITIVE_INFINITY, when: "after" });
    await runCommand(bind, begin("remembered").args, counting, PIN);
    const at = counting.steps.findLastIndex((step) => step.startsWith("cryptsetup token import")) + 1;
    const { state, image, args } = begin("forgotten");
    const system = faultySystem(nodeSystem, { at, when: "after" });
    await runCommand(bind, args, system, PIN).catch(() => {});
    assert.ok(system.wasCut);
    const typed = ["0000", "1357", "1357"];
    await runCommand(bind, args, nodeSystem, { passphrase: typed });
    assert.deepEqual(typed, []);
    const { slots, tokens, files } = await lookAt(image, state);
    assert.deepEqual([slots.length, tokens, files], [2, [`clevis ${slots[1]}`], []]);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem, { passphrase: "1357" })).status, 0);
  });
});
