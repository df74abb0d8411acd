import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { begun } from "../../../../src/server/policy/alive.ts";
import { decide } from "../../../../src/server/policy/decide.ts";
import type { LeaseUse, Policy } from "../../../../src/server/policy/lease.ts";
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

const ALWAYS = { state: "active", policy: "always", lease: null } as const;
const LATCH = { state: "active", pace: RESTED, use: null, day: null } as const;
const ASKING = { from: "192.0.2.7", nowMs: NOW_MS, latestMs: NOW_MS, minute: 0 };
const REFUSED_FOR_DAY = { release: false, reason: "policy/day-used" };

const hosts = (count: number) => Array.from({ length: count }, (_, host) => `192.0.2.${host}`).join(",");

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
});

test("hours hold from their first minute to the one before their last, whether or not midnight is among them", () => {
  const [DAY, STEP] = [1440, 239];
  for (let fromMinute = 0; fromMinute < DAY; fromMinute += STEP) {
    for (let length = 1; length < DAY; length += STEP) {
      const hours = { fromMinute, toMinute: (fromMinute + length) % DAY };
      const within = new Set(Array.from({ length }, (_, index) => (fromMinute + index) % DAY));
      for (let minute = 0; minute < DAY; minute++) {
        const expected = within.has(minute) ? null : "policy/other-hours";
        if (judgePlace({ from: [], perDay: null, hours }, "192.0.2.7", minute) === expected) continue;
        assert.fail(`minute ${minute} of ${JSON.stringify(hours)}`);
      }
    }
  }
});

test("hours are two times of day, written with two digits each, that differ", () => {
  const two = (number: number) => String(number).padStart(2, "0");
  const all = Array.from({ length: 100 }, (_, number) => number);
  const times = all.flatMap((number) => [...[0, 59, 60, 99].map((minute) => [number, minute]), [12, number]]);
  for (const [hour = 0, minute = 0] of times) {
    const time = `${two(hour)}:${two(minute)}`;
    const at = hour < 24 && minute < 60 ? hour * 60 + minute : null;
    const read = (text: string) => parseLimits({ hours: text })?.hours ?? null;
    const [other, otherAt] = time === "12:34" ? ["12:35", 755] : ["12:34", 754];
    assert.deepEqual(read(`${time}-${other}`), at === null ? null : { fromMinute: at, toMinute: otherAt });
    assert.deepEqual(read(`${other}-${time}`), at === null ? null : { fromMinute: otherAt, toMinute: at });
    assert.equal(read(`${time}-${time}`), null);
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
  const all = limits({ from: "192.0.2.0/24,::1", perDay: "4", hours: "08:05-18:00" });
  assert.equal(limitsText(all), "from 192.0.2.0/24,::1 per-day 4 hours 08:05-18:00");
  assert.deepEqual(readLimits(limitsText(all)), all);
  const none = { from: [], perDay: null, hours: null };
  for (const unlimited of [limits({}), readLimits(null), limits({ from: "any", perDay: "any", hours: "any" })])
    assert.deepEqual(unlimited, none);
  assert.deepEqual(parseLimits({ from: "any", perDay: "any", hours: "any" }, all), none);
  assert.deepEqual(parseLimits({}, all), all);
});

test("what is not as it must be is refused, and a text that nobody wrote releases nothing", () => {
  for (const words of [
    { from: "" },
    { from: "192.0.2.7/24" },
    { from: hosts(17) },
    { from: "192.0.2.0/24," },
    { from: "192.0.2.0/24, ::1" },
    ...["", "0", "101", "1000", "1.5", " 7", "7 ", "+7", "-7", "1e1", "0x9", "seven"].map((perDay) => ({ perDay })),
    { hours: "8-18" },
    ...["", "08:00", "08:00-", "8:00-18:00", "08:00-18:0", " 08:00-18:00"].map((hours) => ({ hours })),
    ...["08:00-18:00-20:00", "08:00 18:00", "08-00:18-00", "NaN:NaN-NaN:NaN"].map((hours) => ({ hours })),
  ]) {
    assert.equal(parseLimits(words), null, JSON.stringify(words));
  }
  assert.equal(limits({ from: hosts(16) }).from.length, 16);
  for (const count of [1, 99, 100]) assert.equal(limits({ perDay: String(count) }).perDay, count);
  const words = ["", "none", "from ", "per-day 0", "per-day 01", "hours 25:00-26:00", "from any", "from any more"];
  const around = [" per-day 1", "per-day 1 ", "x per-day 1", "per-day 1 x", "hours 08:00-18:00 per-day 1"];
  for (const text of [...words, ...around])
    assert.deepEqual(decide({ ...ALWAYS, limits: readLimits(text) }, LATCH, ASKING), REFUSED_FOR_DAY, text);
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

test("every release is counted but one that is answered again, and none where nothing is counted", () => {
  const counted = { sinceMs: NOW_MS, count: 1 };
  const lease = { number: 1, untilMs: NOW_MS + 900_000, graceMs: 60_000, to: ASKING.from };
  const use = { lease: 1, atMs: NOW_MS, from: ASKING.from };
  const alive = { pulse: begun(300_000, 0), monotonicMs: 0 };
  for (const perDay of [1, null]) {
    const day = (policy: Policy, used: LeaseUse | null) => {
      const machine = { ...ALWAYS, policy, lease, alive, limits: { from: [], perDay, hours: null } };
      const decision = decide(machine, { ...LATCH, use: used }, ASKING);
      assert.ok(decision.release, policy);
      return decision.day;
    };
    const expected = perDay === null ? undefined : counted;
    for (const policy of ["always", "alive", "lease", "approval"] as const)
      assert.deepEqual(day(policy, null), expected, policy);
    for (const policy of ["lease", "approval"] as const) assert.equal(day(policy, use), undefined, policy);
  }
});

test("the time of day that is looked at is the minute of whoever asks; none is midnight", () => {
  const machine = { ...ALWAYS, limits: limits({ hours: "08:00-18:00" }) };
  const { minute: _, ...timeless } = ASKING;
  assert.ok(decide(machine, LATCH, { ...ASKING, minute: 480 }).release);
  assert.deepEqual(decide(machine, LATCH, timeless), { release: false, reason: "policy/other-hours" });
});

test("limits are tighter where nothing new gets through", () => {
  const [none, office, day] = [limits({}), limits({ from: "192.0.2.0/24" }), limits({ hours: "08:00-18:00" })];
  assert.ok(areTighter(office, none) && areTighter(office, office) && areTighter(day, none));
  assert.ok(!areTighter(none, office) && !areTighter(day, office) && !areTighter(office, day));
  assert.ok(areTighter({ ...office, perDay: 2 }, office) && areTighter({ ...none, perDay: 2 }, { ...none, perDay: 3 }));
  assert.ok(!areTighter(none, { ...none, perDay: 3 }) && !areTighter({ ...none, perDay: 4 }, { ...none, perDay: 3 }));
});
