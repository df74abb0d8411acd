// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { inTurns } from "../../../src/core/turns.ts";

test("one work begins once the one before it has ended, however that ended", async () => {
  const inTurn = inTurns();
  const seen: string[] = [];
  const work = (name: string, fails: boolean) => async () => {
    seen.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(`${name} ends`);
    if (fails) throw new Error(name);
    return name;
  };
  const all = [inTurn(work("one", true)), inTurn(work("two", false)), inTurn(work("three", false))];
  const outcomes = await Promise.allSettled(all);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["rejected", "fulfilled", "fulfilled"],
  );
  assert.deepEqual(seen, ["one begins", "one ends", "two begins", "two ends", "three begins", "three ends"]);
});
