// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { every, once } from "../../../src/server/clock.ts";
import { VirtualTime } from "../../support/virtual-time.ts";

test("what is done every so often goes on until it is called off", async () => {
  const time = new VirtualTime();
  const at: number[] = [];
  const done = Promise.withResolvers<void>();
  const rounds = every(time.power, 30, () => {
    at.push(time.nowMs);
    if (at.length === 3) done.resolve();
  });
  assert.deepEqual(at, []);
  await time.run(done.promise);
  rounds[Symbol.dispose]();
  await time.run(time.power.sleep(300));
  assert.deepEqual(at, [30, 60, 90]);
});

test("what is done once is done once, and not where it is called off before", async () => {
  const time = new VirtualTime();
  let done = 0;
  const kept = once(time.power, 30, () => done++);
  const given = once(time.power, 30, () => (done += 100));
  given[Symbol.dispose]();
  await time.run(time.power.sleep(300));
  kept[Symbol.dispose]();
  assert.equal(done, 1);
});
