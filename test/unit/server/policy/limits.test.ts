import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decide } from "../../../../src/server/policy/decide.ts";
import {
  areTighter,
  countDay,
  type Day,
  judgePlace,
  type LimitWords,
  limitsText,
  parseLimits,
  readLimits,
} from "../../../../src/server/policy/limits.ts";
import { RESTED } from "../../../../src/server/policy/pace.ts";

const NOW_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;

/** Limits that an operator gives in words. */
function limits(words: LimitWords) {
  const parsed = parseLimits(words);
  assert.ok(parsed !== null, JSON.stringify(words));
  return parsed;
}

test("an address and a time of day are within the limits, or it is told which they are not", () => {
  const office = limits({ from: "192.0.2.0/24,2001:db8::/48", hours: "08:00-18:00" });
  const at = (hour: number, minute = 0) => hour * 60 + minute;
  assert.equal(judgePlace(office, "192.0.2.7", at(8)), null);
  assert.equal(judgePlace(office, "2001:db8::7", at(17, 59)), null);
  assert.equal(judgePlace(office, "192.0.3.7", at(12)), "policy/other-network");
  assert.equal(judgePlace(office, "", at(12)), "policy/other-network");
  assert.equal(judgePlace(office, "192.0.2.7", at(7, 59)), "policy/other-hours");
  assert.equal(judgePlace(office, "192.0.2.7", at(18)), "policy/other-hours");
  const night = limits({ hours: "22:00-06:00" });
  for (const [hour, expected] of [
    [22, null],
    [0, null],
    [5, null],
    [6, "policy/other-hours"],
    [21, "policy/other-hours"],
  ] as const) {
    assert.equal(judgePlace(night, "192.0.2.7", at(hour)), expected, String(hour));
  }
});

test("what an operator gives goes over what holds, and is read back as it was written", () => {
  const network = fc.constantFrom("192.0.2.0/24", "10.0.0.0/8", "2001:db8::/48", "::1", "192.0.2.7");
  const words = fc.record(
    {
      from: fc.uniqueArray(network, { minLength: 1 }).map((networks) => networks.join(",")),
      perDay: fc.integer({ min: 1, max: 100 }).map(String),
      hours: fc.constantFrom("08:00-18:00", "22:30-06:00", "00:00-23:59"),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(words, words, (first, second) => {
      const before = limits(first);
      const after = parseLimits(second, before);
      assert.deepEqual(readLimits(limitsText(before)), before);
      assert.deepEqual(after, limits({ ...first, ...second }));
    }),
  );
  assert.equal(limitsText(limits({ from: "any", perDay: "any", hours: "any" })), null);
});

test("what is not as it must be is refused, and a text that nobody wrote releases nothing", () => {
  for (const words of [
    { from: "" },
    { from: "192.0.2.7/24" },
    { from: Array.from({ length: 17 }, (_, host) => `192.0.2.${host}`).join(",") },
    { perDay: "0" },
    { perDay: "101" },
    { perDay: "1.5" },
    { hours: "8-18" },
    { hours: "08:00-08:00" },
    { hours: "08:00-24:00" },
  ]) {
    assert.equal(parseLimits(words), null, JSON.stringify(words));
  }
  for (const text of ["", "none", "from ", "per-day 0", "hours 25:00-26:00", "from any more"]) {
    assert.equal(countDay(null, readLimits(text).perDay ?? Number.POSITIVE_INFINITY, NOW_MS), null, text);
  }
});

test("a latch is released so often in a day, and a clock that goes back gives no more within it", () => {
  let day: Day | null = null;
  for (let count = 1; count <= 3; count++) {
    day = countDay(day, 3, NOW_MS + count);
    assert.deepEqual(day, { sinceMs: NOW_MS + 1, count });
  }
  assert.equal(countDay(day, 3, NOW_MS + DAY_MS), null);
  assert.equal(countDay(day, 3, NOW_MS - DAY_MS + 1), null);
  assert.deepEqual(countDay(day, 3, NOW_MS + DAY_MS + 1), { sinceMs: NOW_MS + DAY_MS + 1, count: 1 });
  assert.deepEqual(countDay(day, 4, NOW_MS - 1000), { sinceMs: NOW_MS - 1000, count: 4 });
  const ahead = { sinceMs: NOW_MS + 400 * DAY_MS, count: 3 };
  assert.deepEqual(countDay(ahead, 3, NOW_MS), { sinceMs: NOW_MS, count: 1 }, "made while the clock was a year ahead");
});

test("no window of a day has more releases than twice the limit, and none of a day's count more than it", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(DAY_MS / 4), { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), (gapsMs, perDay) => {
      let [nowMs, day] = [NOW_MS, null as Day | null];
      const released: number[] = [];
      for (const gapMs of gapsMs) {
        nowMs += gapMs;
        const next = countDay(day, perDay, nowMs);
        if (next === null) continue;
        day = next;
        released.push(nowMs);
        assert.ok(day.count <= perDay);
        assert.ok(released.filter((at) => at > nowMs - DAY_MS).length <= 2 * perDay);
      }
    }),
  );
});

test("limits come before any policy and after a lock; what is answered again is counted once", () => {
  const bounds = limits({ from: "192.0.2.0/24", perDay: "1" });
  const lease = { number: 1, untilMs: NOW_MS + 900_000, graceMs: 60_000, to: null };
  const asking = { from: "192.0.2.7", nowMs: NOW_MS, latestMs: NOW_MS, minute: 0 };
  const [machine, latch] = [
    { state: "active", policy: "lease", lease, limits: bounds } as const,
    { state: "active", pace: RESTED, use: null, day: null } as const,
  ];
  const first = decide(machine, latch, asking);
  assert.ok(first.release && first.day !== undefined && first.use !== null);
  const used = { ...latch, use: first.use, day: first.day };
  const again = decide(machine, used, asking);
  assert.ok(again.release && again.day === undefined);
  const next = { ...machine, lease: { ...lease, number: 2 } };
  assert.deepEqual(decide(next, used, asking), { release: false, reason: "policy/day-used" });
  const always = { ...machine, policy: "always", lease: null } as const;
  assert.deepEqual(decide(always, used, asking), { release: false, reason: "policy/day-used" });
  const elsewhere = { ...asking, from: "198.51.100.7" };
  assert.deepEqual(decide(always, latch, elsewhere), { release: false, reason: "policy/other-network" });
  const approval = { ...machine, policy: "approval", lease: null } as const;
  assert.deepEqual(decide(approval, latch, elsewhere), { release: false, reason: "policy/other-network" });
  const locked = { ...always, state: "locked" } as const;
  assert.deepEqual(decide(locked, latch, elsewhere), { release: false, reason: "machine/locked" });
});

test("limits are tighter where nothing new gets through", () => {
  const [none, office, day] = [limits({}), limits({ from: "192.0.2.0/24" }), limits({ hours: "08:00-18:00" })];
  assert.ok(areTighter(office, none) && areTighter(office, office) && areTighter(day, none));
  assert.ok(!areTighter(none, office) && !areTighter(day, office));
  assert.ok(areTighter({ ...office, perDay: 2 }, office) && areTighter({ ...none, perDay: 2 }, { ...none, perDay: 3 }));
  assert.ok(!areTighter(none, { ...none, perDay: 3 }) && !areTighter({ ...none, perDay: 4 }, { ...none, perDay: 3 }));
});
