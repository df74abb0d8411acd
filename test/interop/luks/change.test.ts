import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { ChangePower } from "../../../src/luks/change/ledger.ts";
import { listTokens } from "../../../src/luks/header/bindings.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { type Fault, faultySystem, PowerCut } from "../../support/faults.ts";
import { type Bench, begin, bind, look, makeState, TestServer, unbind } from "../../support/luks-change.ts";
import { addSlot, makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const folder = makeFolder();
const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
const TYPES = ["luks2", "luks1"] as const;
const SMALL = { luks1: [], luks2: ["--luks2-keyslots-size", "2m"] };

interface Operation {
  readonly name: string;
  /** Whether the volume has a binding before. */
  readonly isBound: boolean;
  run(power: ChangePower, bench: Bench): Promise<unknown>;
  /** How the volume looks when it was done once, however often it was begun. */
  readonly result: { slots: number[]; tokens: string[] };
}

const OPERATIONS: readonly Operation[] = [
  {
    name: "bind",
    isBound: false,
    run: (power, bench) => bind(power, bench),
    result: { slots: [0, 1, 2], tokens: ["clevis 1"] },
  },
  {
    name: "rebind",
    isBound: true,
    run: (power, bench) => bind(power, bench, "all"),
    result: { slots: [0, 2, 3], tokens: ["clevis 3"] },
  },
  { name: "unbind", isBound: true, run: unbind, result: { slots: [0, 2], tokens: [] } },
];

/** Volumes with two slots of their owner's, one of them not the lowest; made once and copied. */
interface Template {
  readonly image: string;
  readonly server: TestServer;
}
const templates = new Map<string, Template>();

async function templateOf(type: (typeof TYPES)[number], isBound: boolean): Promise<Template> {
  const name = `${type}-${isBound ? "bound" : "plain"}`;
  const made = templates.get(name);
  if (made !== undefined) return made;
  const server = new TestServer();
  const image = makeVolume(folder, `${name}.img`, type, SMALL[type], 4);
  addSlot(image, "second", ["--key-slot", "2"]);
  if (isBound) await bind(nodeSystem, { image, server, stateFolder: makeState(folder) });
  templates.set(name, { image, server });
  return { image, server };
}

let copies = 0;
function copyOf({ image, server }: Template): Bench {
  const copy = join(folder, `copy-${copies++}.img`);
  copyFileSync(image, copy);
  return { image: copy, server, stateFolder: makeState(folder) };
}

function assertOpens(bench: Bench, when: string): void {
  for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(bench.image, passphrase), `${passphrase}: ${when}`);
}

/** @returns whether the operation came to its end before the fault */
async function runUntil(operation: Operation, bench: Bench, fault: Fault): Promise<boolean> {
  const system = faultySystem(nodeSystem, fault);
  const outcome = await operation.run(system, bench).then(
    () => null,
    (error: unknown) => error,
  );
  if (outcome !== null && !(outcome instanceof PowerCut)) {
    assert.ok(system.wasCut, String(outcome));
  }
  return !system.wasCut;
}

/** Faults one after the other, until one comes too late to happen. */
async function forEachFault(
  template: Template,
  operation: Operation,
  kind: Fault["when"] | Omit<Fault, "at">,
  then: (bench: Bench, what: string) => Promise<void>,
): Promise<number> {
  for (let at = 1; ; at++) {
    const bench = copyOf(template);
    const fault = typeof kind === "string" ? { at, when: kind } : { at, ...kind };
    const isDone = await runUntil(operation, bench, fault);
    const what = `power cut ${fault.when} step ${at} of ${operation.name}`;
    assertOpens(bench, what);
    if (isDone) assert.deepEqual(await look(bench), { ...operation.result, files: [] });
    else await then(bench, what);
    rmSync(bench.image);
    if (isDone) return at - 1;
  }
}

/**
 * The next run. An operation whose last step was done before the cut is done: nobody begins it
 * again.
 */
async function runAgain(operation: Operation, bench: Bench, what: string): Promise<void> {
  const before = await look(bench);
  const isDone = before.files.length === 0 && isDeepStrictEqual(before, { ...operation.result, files: [] });
  if (!isDone) await operation.run(nodeSystem, bench);
  assert.deepEqual(await look(bench), { ...operation.result, files: [] }, what);
  assertOpens(bench, `run after ${what}`);
}

for (const type of TYPES) {
  // What LUKS1 has of its own is in the cuts after each step.
  const isWhole = isFull || type === "luks2";
  for (const operation of OPERATIONS) {
    // Nothing changes between two steps, so what a cut leaves "after" one is what it leaves
    // "before" the next.
    for (const when of isFull || (isWhole && operation.name === "bind")
      ? (["before", "after"] as const)
      : (["after"] as const)) {
      test(`${type} ${operation.name}: the power goes ${when} each step; the volume opens, the next run completes`, async () => {
        const template = await templateOf(type, operation.isBound);
        const steps = await forEachFault(template, operation, when, (bench, what) => runAgain(operation, bench, what));
        assert.ok(steps >= 8, `only ${steps} steps`);
      });
    }

    if (!isWhole && operation.name !== "bind") continue;
    test(`${type} ${operation.name}: the program of each step is killed in its middle`, async () => {
      const template = await templateOf(type, operation.isBound);
      for (let round = 0; round < (isFull ? 12 : 1); round++) {
        const delayMs = Math.random() * 40;
        await forEachFault(template, operation, { when: "during", delayMs }, (bench, what) =>
          runAgain(operation, bench, `${what} (${delayMs} ms)`),
        );
      }
    });
  }

  test(`${type}: a bind that was cut short is undone by an unbind while the server is away`, async () => {
    const template = await templateOf(type, false);
    const [bindOnce] = OPERATIONS as [Operation];
    await forEachFault(template, bindOnce, "after", async (bench, what) => {
      const server = new TestServer(); // another one, which cannot open what was bound
      server.isReachable = false;
      await unbind(nodeSystem, { ...bench, server }, [1]); // which a cut after all was done needs
      assert.deepEqual(await look(bench), { slots: [0, 2], tokens: [], files: [] }, what);
      assertOpens(bench, what);
    });
  });

  test(`${type}: a rebind that was cut short leaves one binding that opens, also when the next run finds no server`, async () => {
    const template = await templateOf(type, true);
    const rebind = OPERATIONS[1] as Operation;
    const outcomes = new Set<string>();
    await forEachFault(template, rebind, "after", async (bench, what) => {
      const away = new TestServer();
      away.isReachable = false;
      await (await begin(nodeSystem, { ...bench, server: away }))[Symbol.asyncDispose]();
      const { tokens, slots, files } = await look(bench);
      assert.deepEqual({ tokens: tokens.length, slots: slots.length, files }, { tokens: 1, slots: 3, files: [] }, what);
      outcomes.add(tokens.join());
      const [token] = listTokens(await readVolumeHeader(nodeSystem, bench.image));
      assert.ok(token !== undefined);
      using secret = await bench.server.prove(token);
      assert.ok(opens(bench.image, secret.reveal(), token.keyslots[0]), what);
      assertOpens(bench, what);
    });
    assert.deepEqual(outcomes, new Set(["clevis 1", "clevis 3"]));
  });

  for (const operation of isFull ? OPERATIONS : OPERATIONS.slice(0, isWhole ? 1 : 0)) {
    test(`${type} ${operation.name}: a slot that a user adds after the cut is never killed`, async () => {
      const template = await templateOf(type, operation.isBound);
      await forEachFault(template, operation, "after", async (bench, what) => {
        addSlot(bench.image, "third"); // takes the lowest free slot, ours if it was not written yet
        await operation.run(nodeSystem, bench);
        assert.ok(opens(bench.image, "third"), what);
        assertOpens(bench, what);
        const { files, tokens } = await look(bench);
        assert.deepEqual(
          { files, intents: tokens.filter((token) => /intent/.test(token)) },
          { files: [], intents: [] },
        );
      });
    });
  }
}
