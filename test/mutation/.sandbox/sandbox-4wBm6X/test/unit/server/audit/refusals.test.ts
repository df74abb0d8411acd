// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { RefusalTally } from "../../../../src/server/audit/refusals.ts";

const MAX_SUBJECTS = 1000;
const WINDOW_MS = 3_600_000;

const NOW_MS = 1_800_000_000_000;

test("the first refusal is told at once, the others of the hour as a number", () => {
  const tally = new RefusalTally();
  const refusal = { reason: "machine/locked", subject: "latch" };
  assert.deepEqual(tally.count(refusal, "192.0.2.1", NOW_MS), {
    kind: "refusal",
    at: NOW_MS,
    reason: "machine/locked",
    subject: "latch",
    from: "192.0.2.1",
  });
  for (let count = 0; count < 1000; count++) assert.equal(tally.count(refusal, "192.0.2.2", NOW_MS + count), null);
  assert.deepEqual(tally.close(NOW_MS + WINDOW_MS - 1), []);
  const endMs = NOW_MS + WINDOW_MS;
  assert.deepEqual(tally.close(endMs), [
    { kind: "refusals", at: endMs, reason: "machine/locked", subject: "latch", count: 1000, since: NOW_MS },
  ]);
  assert.deepEqual(tally.close(endMs), []);
  assert.notEqual(tally.count(refusal, "192.0.2.1", endMs), null);
});

test("one refusal alone leaves one entry", () => {
  const tally = new RefusalTally();
  tally.count({ reason: "latch/revoked", subject: "a" }, "192.0.2.1", NOW_MS);
  assert.deepEqual(tally.close(NOW_MS + WINDOW_MS), []);
});

test("subjects beyond what is told apart share one count: the log grows by no more than two entries for each", () => {
  const tally = new RefusalTally();
  let entries = 0;
  for (let count = 0; count < 3 * MAX_SUBJECTS; count++) {
    for (let repeat = 0; repeat < 3; repeat++) {
      if (tally.count({ reason: "machine/locked", subject: `latch ${count}` }, "192.0.2.1", NOW_MS) !== null) entries++;
    }
  }
  const closed = tally.close(NOW_MS, true);
  assert.equal(entries, MAX_SUBJECTS + 1);
  assert.equal(closed.length, MAX_SUBJECTS + 1);
  const counted = closed.reduce((sum, { count }) => sum + count, 0);
  assert.equal(entries + counted, 9 * MAX_SUBJECTS);
});

test("a clock that is set back ends a window", () => {
  const tally = new RefusalTally();
  const refusal = { reason: "machine/locked" };
  tally.count(refusal, "192.0.2.1", NOW_MS);
  tally.count(refusal, "192.0.2.1", NOW_MS);
  assert.equal(tally.close(NOW_MS - 1).length, 1);
});
