import assert from "node:assert/strict";
import { test } from "node:test";
import { hasExpired } from "../../../../src/server/policy/expiry.ts";

const END_MS = 1_800_000_000_000;
const SET_BACK_MS = 60_000;

test("what expires is over from its end on, by the clock or the log, and while the clock is well behind the log", () => {
  const around = [-1_000_000, -SET_BACK_MS - 1, -SET_BACK_MS, -SET_BACK_MS + 1, -1, 0, 1, SET_BACK_MS, 1_000_000];
  for (const now of around) {
    for (const latest of around) {
      const isOver = now >= 0 || latest >= 0 || latest - now > SET_BACK_MS;
      const facts = { nowMs: END_MS + now, latestMs: END_MS + latest };
      assert.equal(hasExpired(END_MS, facts), isOver, `now ${now}, in the log ${latest}`);
    }
  }
});
