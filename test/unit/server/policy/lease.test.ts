/**
 * What a lease promises, held against random histories by a watcher that keeps books of its own.
 * Faults that are planted in the judgement show that each promise can be seen to be broken.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { judgeLease, type Lease, type LeaseUse } from "../../../../src/server/policy/lease.ts";

type Judge = typeof judgeLease;

const START_MS = 1_800_000_000_000;
const ADDRESSES = ["192.0.2.1", "192.0.2.2"] as const;

const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("lease" as const),
      minutes: fc.integer({ min: 1, max: 15 }),
      grace: fc.constantFrom(0, 60),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("end" as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("ask" as const), latch: fc.nat(1), from: fc.constantFrom(...ADDRESSES) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), seconds: fc.constantFrom(1, 30, 59, 60, 61, 600, 900) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("set" as const), minutes: fc.constantFrom(-1e6, -60, -2, 60, 1e6) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What the watcher knows of the window: by a clock of its own, which nobody sets. */
interface Window {
  readonly until: number;
  readonly graceMs: number;
  readonly first: Map<number, { readonly at: number; readonly from: string }>;
}

/** Plays a history; the first promise that is broken in it, or null. */
function play(judge: Judge, steps: readonly Step[]): string | null {
  let [trueMs, setMs, latestMs, number] = [START_MS, 0, START_MS, 0];
  let lease: Lease | null = null;
  let window: Window | null = null;
  /** The clock was set since the window was opened. The log may then be behind what is true. */
  let wasSet = false;
  const uses = new Map<number, LeaseUse>();
  for (const next of steps) {
    const nowMs = trueMs + setMs;
    switch (next.kind) {
      case "lease":
        number++;
        lease = { number, untilMs: nowMs + next.minutes * 60_000, graceMs: next.grace * 1000, to: null };
        window = { until: trueMs + next.minutes * 60_000, graceMs: lease.graceMs, first: new Map() };
        latestMs = nowMs;
        wasSet = false;
        break;
      case "end":
        lease = null;
        window = null;
        break;
      case "pass":
        trueMs += next.seconds * 1000;
        break;
      case "set":
        setMs += next.minutes * 60_000;
        wasSet = true;
        break;
      case "ask": {
        const use = uses.get(next.latch) ?? null;
        const judged = judge(lease, use, { from: next.from, nowMs, latestMs });
        const opens = typeof judged === "object";
        if (!opens && judged !== "again") break;
        if (window === null || lease === null) return "released without a lease";
        if (nowMs < latestMs - 60_000) return "released while the clock was far behind the log";
        if (nowMs >= lease.untilMs || (!wasSet && trueMs >= window.until)) return "released after the lease";
        const first = window.first.get(next.latch);
        if (first !== undefined) {
          if (first.from !== next.from) return "released to two addresses";
          if (!wasSet && trueMs >= first.at + window.graceMs) return "released after the grace";
          if (opens) return "opened twice";
        }
        if (opens) {
          window.first.set(next.latch, { at: trueMs, from: next.from });
          uses.set(next.latch, judged);
        }
        latestMs = Math.max(latestMs, nowMs); // its receipt
      }
    }
  }
  return null;
}

const histories = fc.array(step, { maxLength: 60, size: "max" });

test("no history releases outside a lease and its grace", () => {
  fc.assert(
    fc.property(histories, (steps) => {
      assert.equal(play(judgeLease, steps), null);
    }),
    { numRuns: 2000 },
  );
});

test("an honest machine is released in its lease, and again within the grace", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 899_999 }), fc.nat(59_999), (afterMs, againMs) => {
      const lease: Lease = { number: 1, untilMs: START_MS + 900_000, graceMs: 60_000, to: null };
      const nowMs = START_MS + afterMs;
      const from = ADDRESSES[0];
      const use = { lease: 1, atMs: nowMs, from };
      assert.deepEqual(judgeLease(lease, null, { from, nowMs, latestMs: START_MS }), use);
      const again = Math.min(nowMs + againMs, lease.untilMs - 1);
      assert.equal(judgeLease(lease, use, { from, nowMs: again, latestMs: nowMs }), "again");
    }),
  );
});

test("a window for one address is none for another, before and after a release", () => {
  const [to, from] = ADDRESSES;
  const lease: Lease = { number: 1, untilMs: START_MS + 900_000, graceMs: 60_000, to };
  const time = { nowMs: START_MS, latestMs: START_MS };
  assert.deepEqual(judgeLease(lease, null, { from: to, ...time }), { lease: 1, atMs: START_MS, from: to });
  assert.equal(judgeLease(lease, null, { from, ...time }), "policy/other-address");
  assert.equal(judgeLease(lease, { lease: 1, atMs: START_MS, from }, { from, ...time }), "policy/other-address");
});

const FAULTS: Readonly<Record<string, readonly [caught: string, judge: Judge]>> = {
  "no lease counts as one": [
    "released without a lease",
    (lease, use, asking) =>
      lease === null ? { lease: 0, atMs: asking.nowMs, from: asking.from } : judgeLease(lease, use, asking),
  ],
  "a lease has no end": [
    "released after the lease",
    (lease, use, asking) => judgeLease(lease && { ...lease, untilMs: Number.POSITIVE_INFINITY }, use, asking),
  ],
  "the end is one moment late": [
    "released after the lease",
    (lease, use, asking) => judgeLease(lease && { ...lease, untilMs: lease.untilMs + 1 }, use, asking),
  ],
  "the grace has no end": [
    "released after the grace",
    (lease, use, asking) => judgeLease(lease && { ...lease, graceMs: 3_600_000 }, use, asking),
  ],
  "the grace begins with each release": [
    "released after the grace",
    (lease, use, asking) => judgeLease(lease, use && { ...use, atMs: asking.nowMs }, asking),
  ],
  "the address is not looked at": [
    "released to two addresses",
    (lease, use, asking) => judgeLease(lease, use && { ...use, from: asking.from }, asking),
  ],
  "what was released is forgotten": [
    "released to two addresses",
    (lease, _use, asking) => judgeLease(lease, null, asking),
  ],
  "the log says nothing of time": [
    "released while the clock was far behind the log",
    (lease, use, asking) => judgeLease(lease, use, { ...asking, latestMs: Number.NEGATIVE_INFINITY }),
  ],
};

for (const [fault, [caught, judge]] of Object.entries(FAULTS)) {
  test(`a planted fault is caught: ${fault}`, () => {
    const found = new Set<string>();
    for (const steps of fc.sample(histories, { numRuns: 4000, seed: 1 })) {
      const broken = play(judge, steps);
      if (broken !== null) found.add(broken);
    }
    assert.ok(found.has(caught), [...found].join(", "));
  });
}
