import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  countSilent,
  heldSite,
  isOfSite,
  judgeSite,
  type Rate,
  resumedSite,
  type Silence,
  type Site,
  type SiteMember,
} from "../../../../src/server/policy/site.ts";

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 5 * MINUTE_MS;
const WALL_MS = 1_800_000_000_000;
const STRANGER = { goneIn: null, isHome: false, letIn: null };

const open = (rate: Rate, lastMs = Number.NEGATIVE_INFINITY): Site => ({
  ...heldSite(3, 2),
  state: "open",
  rate,
  untilMs: Number.POSITIVE_INFINITY,
  lastMs,
});

/** What a site means for a machine, in one word. */
function judge(site: Site | null, member: SiteMember, nowMs: number): string {
  const judged = judgeSite(site, member, nowMs);
  if (typeof judged === "string") return judged;
  assert.equal(judged.enters, site?.window);
  return judged.returns ? "returns" : "counts";
}

/** Heard so long ago, with that timeout. */
const silent = (agoMs: number, nowMs: number, timeoutMs = TIMEOUT_MS, isGone = false): Silence => {
  return { timeoutMs, dueMs: nowMs - agoMs + timeoutMs, isGone };
};

test("a rate is exact at its bounds: the next is let in at its time, and not a moment before", () => {
  for (const [rate, gapMs] of [
    [{ count: 60, perMs: MINUTE_MS }, 1000],
    [{ count: 1, perMs: 3_600_000 }, 3_600_000],
    [{ count: 10_000, perMs: 1000 }, 0.1],
  ] as const) {
    const at = (nowMs: number) => judge(open(rate, 5000), STRANGER, nowMs);
    assert.equal(at(5000), "waits");
    assert.equal(at(5000 + gapMs * 0.999), "waits");
    assert.equal(at(5000 + gapMs), "counts");
  }
  assert.equal(judge(open({ count: 1, perMs: 3_600_000 }), STRANGER, 0), "counts", "the first of a window at once");
});

test("however machines ask, no more than the rate are let in, in any time as long as the rate's", () => {
  const rates = fc.record({
    count: fc.integer({ min: 1, max: 50 }),
    perMs: fc.constantFrom(1000, MINUTE_MS, 3_600_000),
  });
  const steps = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(rates, steps, (rate, gaps) => {
      let [site, nowMs] = [open(rate), 0];
      const times: number[] = [];
      for (const gap of gaps) {
        nowMs += gap;
        if (judge(site, STRANGER, nowMs) !== "counts") continue;
        times.push(nowMs);
        site = { ...site, lastMs: nowMs };
      }
      for (const [index, time] of times.entries()) {
        const within = times.slice(index).filter((other) => other < time + rate.perMs).length;
        assert.ok(within <= rate.count, `${within} of ${rate.count}`);
      }
    }),
  );
});

test("who always asks in time is let in as fast as the rate says", () => {
  let site = open({ count: 7, perMs: MINUTE_MS });
  let count = 0;
  for (let nowMs = 0; nowMs < 2 * MINUTE_MS; nowMs++) {
    if (judge(site, STRANGER, nowMs) !== "counts") continue;
    count++;
    site = { ...site, lastMs: nowMs };
  }
  assert.equal(count, 14);
});

test("two at least, and half of those that were there, are a site's silence", () => {
  const isSites = (gone: number, there: number) => isOfSite({ silent: gone, of: there });
  assert.deepEqual(
    [
      isSites(1, 1),
      isSites(1, 2),
      isSites(2, 2),
      isSites(2, 4),
      isSites(2, 5),
      isSites(3, 5),
      isSites(9, 19),
      isSites(10, 19),
    ],
    [false, false, true, true, false, true, false, true],
  );
});

test("silent with a machine is who misses a heartbeat when its time is over", () => {
  const now = 100 * MINUTE_MS;
  const own = silent(TIMEOUT_MS, now);
  const count = (...others: Silence[]) => countSilent(own, others, now);
  assert.deepEqual(count(), { silent: 1, of: 1 });
  assert.deepEqual(count(silent(TIMEOUT_MS / 2, now)), { silent: 2, of: 2 });
  assert.deepEqual(count(silent(TIMEOUT_MS / 2 - 1, now)), { silent: 1, of: 2 });
  assert.deepEqual(count(silent(-10 * MINUTE_MS, now)), { silent: 1, of: 1 }, "released, and about to boot");
  assert.deepEqual(count(silent(0, now)), { silent: 1, of: 2 }, "heard just now");
  const hour = 60 * MINUTE_MS;
  assert.deepEqual(count(silent(TIMEOUT_MS + 1000, now, TIMEOUT_MS, true)), { silent: 2, of: 2 });
  assert.deepEqual(count(silent(hour, now, TIMEOUT_MS, true)), { silent: 1, of: 1 }, "gone an hour before");
  assert.deepEqual(count({ timeoutMs: TIMEOUT_MS, dueMs: Number.NEGATIVE_INFINITY, isGone: true }), {
    silent: 1,
    of: 1,
  });
  assert.deepEqual(count(silent(hour / 2, now, hour)), { silent: 2, of: 2 }, "one that sends more seldom");
  const gone = (apartMs: number) => count(silent(TIMEOUT_MS + apartMs, now, TIMEOUT_MS, true));
  assert.deepEqual(gone(TIMEOUT_MS), { silent: 2, of: 2 }, "apart by as much as a timeout");
  assert.deepEqual(gone(TIMEOUT_MS + 1), { silent: 1, of: 1 });
});

test("a window goes on after a restart for what is left of it, and its rate begins anew", () => {
  const window = { rate: { count: 60, perMs: MINUTE_MS }, untilMs: WALL_MS + 60 * MINUTE_MS, savedMs: WALL_MS };
  const stored = { state: "open", hold: 3, window: 2, open: window } as const;
  const at = (minutes: number, logMinutes = minutes) => {
    const [nowMs, latestMs] = [WALL_MS + minutes * MINUTE_MS, WALL_MS + logMinutes * MINUTE_MS];
    return resumedSite(stored, { nowMs, latestMs, monotonicMs: 500 });
  };
  const left = at(45);
  assert.deepEqual(left, {
    state: "open",
    hold: 3,
    window: 2,
    rate: window.rate,
    untilMs: 500 + 15 * MINUTE_MS,
    lastMs: 500,
  });
  assert.equal(judge(left, STRANGER, 500), "waits");
  assert.equal(judge(left, STRANGER, 1500), "counts");
  const held = heldSite(3, 2);
  for (const [minutes, log] of [
    [60, 60],
    [1e6, 0],
    [-1e6, 0],
    [-2, 0],
    [10, 60],
    [10, 12],
  ] as const)
    assert.deepEqual(at(minutes, log), held, `${minutes} ${log}`);
  assert.equal(at(-1, 0)?.untilMs, 500 + 60 * MINUTE_MS, "no more than it was");
  assert.deepEqual(
    resumedSite({ ...stored, state: "held", open: null }, { nowMs: 0, latestMs: 0, monotonicMs: 0 }),
    held,
  );
  for (const damaged of [{ ...stored, state: "held" } as const, { ...stored, open: null }])
    assert.deepEqual(resumedSite(damaged, { nowMs: WALL_MS, latestMs: WALL_MS, monotonicMs: 0 }), held);
  assert.equal(judge({ ...left, rate: null } as Site, STRANGER, 1500), "waits", "a window without a rate");
  assert.equal(resumedSite({ ...stored, state: "free", open: null }, { nowMs: 0, latestMs: 0, monotonicMs: 0 }), null);
});
