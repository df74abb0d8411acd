import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { begun, returned } from "../../../../src/server/policy/alive.ts";
import { decide, type State } from "../../../../src/server/policy/decide.ts";
import { isRested, RESTED, take } from "../../../../src/server/policy/pace.ts";
import { heldSite } from "../../../../src/server/policy/site.ts";

const PACE_BURST = 120;
const PACE_INTERVAL_MS = 10_000;

const NOW_MS = 1_800_000_000_000;
const ALWAYS = { policy: "always", lease: null } as const;
const LATCH = { state: "active", pace: RESTED, use: null } as const;
const asking = (nowMs: number) => ({ from: "192.0.2.1", nowMs, latestMs: nowMs });

test("a release needs the machine and the latch active; the final state is told before the passing one", () => {
  const expected: Readonly<Record<string, string>> = {
    "active active": "release",
    "active locked": "machine/locked",
    "active revoked": "latch/revoked",
    "locked active": "machine/locked",
    "locked locked": "machine/locked",
    "locked revoked": "latch/revoked",
    "revoked active": "latch/revoked",
    "revoked locked": "latch/revoked",
    "revoked revoked": "latch/revoked",
  };
  for (const [states, outcome] of Object.entries(expected)) {
    const [machine, latch] = states.split(" ") as [State, State];
    const decision = decide({ ...ALWAYS, state: machine }, { state: latch, pace: RESTED, use: null }, asking(NOW_MS));
    assert.equal(decision.release ? "release" : decision.reason, outcome, states);
  }
});

test("where what a policy goes by is not told, nothing is released", () => {
  const refusal = (machine: Partial<Parameters<typeof decide>[0]>) => {
    const decision = decide({ ...ALWAYS, state: "active", ...machine }, LATCH, asking(NOW_MS));
    return decision.release ? "release" : decision.reason;
  };
  assert.equal(refusal({ policy: "alive" }), "policy/not-alive");
  assert.equal(refusal({ policy: "alive", alive: { pulse: null, monotonicMs: 0 } }), "policy/not-alive");
  assert.equal(refusal({ policy: "approval" }), "policy/crowded");
  assert.equal(refusal({ policy: "lease" }), "policy/no-lease");
  const rate = { count: 1, perMs: 1000 };
  const site = { ...heldSite(1, 1), state: "open", rate, untilMs: 1000 } as const;
  const member = { goneIn: 1, isHome: true, letIn: null, monotonicMs: 0 };
  assert.equal(refusal({ policy: "alive", site: { ...member, site } }), "policy/not-alive");
  assert.equal(refusal({ policy: "alive", site: { ...member, site: null } }), "policy/not-alive");
  const alive = { pulse: begun(300_000, 0), monotonicMs: 0 };
  const decision = decide(
    { ...ALWAYS, state: "active", policy: "alive", alive, site: { ...member, site } },
    LATCH,
    asking(NOW_MS),
  );
  assert.deepEqual(decision, {
    release: true,
    pace: take(RESTED, NOW_MS),
    use: null,
    pulse: returned(300_000, 0),
    enters: 1,
  });
});

test("a latch that is asked too often is released without a receipt of each, until its pace has eased", () => {
  let pace = RESTED;
  const ask = (nowMs: number) =>
    decide({ ...ALWAYS, state: "active" }, { state: "active", pace, use: null }, asking(nowMs));
  for (let count = 0; count < PACE_BURST; count++) {
    const decision = ask(NOW_MS);
    assert.ok(decision.release && decision.pace !== null, `release ${count}`);
    pace = decision.pace;
  }
  assert.deepEqual(ask(NOW_MS), { release: true, pace: null, use: null });
  assert.deepEqual(ask(NOW_MS + PACE_INTERVAL_MS - 1), { release: true, pace: null, use: null });
  assert.notDeepEqual(ask(NOW_MS + PACE_INTERVAL_MS), { release: true, pace: null, use: null });
  assert.ok(!isRested(pace, NOW_MS));
  assert.ok(isRested(pace, NOW_MS + PACE_BURST * PACE_INTERVAL_MS));
});

test("in any time no more receipts are left than the burst and the rate allow", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30_000), { maxLength: 400 }), (gapsMs) => {
      let [nowMs, granted, pace] = [NOW_MS, 0, RESTED];
      for (const gapMs of gapsMs) {
        nowMs += gapMs;
        const next = take(pace, nowMs);
        if (next !== null) granted++;
        pace = next ?? pace;
      }
      assert.ok(granted <= PACE_BURST + (nowMs - NOW_MS) / PACE_INTERVAL_MS);
    }),
  );
});

test("a clock that is set back keeps nobody out", () => {
  let pace = RESTED;
  for (let count = 0; count < PACE_BURST; count++) pace = take(pace, NOW_MS) ?? pace;
  assert.equal(take(pace, NOW_MS), null);
  assert.notEqual(take(pace, NOW_MS - 86_400_000), null);
});
