/**
 * A volume with a state folder and a server, and what is asserted again and again of a change that
 * is refused.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { type ErrorCode, isError } from "../../src/core/errors.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { System } from "../../src/system/port.ts";
import { faultySystem, PowerCut } from "./faults.ts";
import { type Bench, headerDigest, makeState, TestServer } from "./luks-change.ts";
import { makeFolder, makeVolume } from "./volumes.ts";

export const folder = makeFolder();
let made = 0;

export function makeBench(type: "luks1" | "luks2" = "luks2", options: readonly string[] = []): Bench {
  const small = type === "luks2" && options.length === 0 ? ["--luks2-keyslots-size", "2m"] : options;
  const image = makeVolume(folder, `volume-${made++}.img`, type, small, 6);
  return { image, stateFolder: makeState(folder), server: new TestServer() };
}

export const fails = (code: ErrorCode, message: string) => (error: unknown) => {
  assert.ok(isError(error, code), String(error));
  assert.equal(error.message, message);
  return true;
};

/** The same bytes before and after, and nothing left beside the lock. */
export async function leavesAlone(bench: Bench, act: () => Promise<unknown>): Promise<void> {
  const before = await headerDigest(bench.image);
  await act();
  assert.equal(await headerDigest(bench.image), before, "the header was changed");
  assert.deepEqual(
    readdirSync(bench.stateFolder).filter((name) => name !== "lock"),
    [],
  );
}

/**
 * Runs what is to be cut short again and again on what it left, until the power goes after a step
 * of that name.
 * @returns its steps
 */
export async function cutAfter(step: RegExp, run: (system: System) => Promise<unknown>): Promise<readonly string[]> {
  for (let at = 1; ; at++) {
    const system = faultySystem(nodeSystem, { at, when: "after" });
    await assert.rejects(run(system), (error) => error instanceof PowerCut);
    if (step.test(system.steps.at(-1) ?? "")) return system.steps;
  }
}
