/** The matrix of docs/policy.md: what the policy answers in each situation. */
// @ts-nocheck

import { decide, type State } from "../../../src/server/policy/decide.ts";
import type { Lease, LeaseUse, Policy } from "../../../src/server/policy/lease.ts";
import { RESTED } from "../../../src/server/policy/pace.ts";

const MADE_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const LEASE: Lease = { number: 2, untilMs: MADE_MS + 15 * MINUTE_MS, graceMs: MINUTE_MS, to: null };
const [SAME, OTHER] = ["192.0.2.1", "192.0.2.9"];
const used = (minutes: number, lease = LEASE.number): LeaseUse => ({
  lease,
  atMs: MADE_MS + minutes * MINUTE_MS,
  from: SAME,
});

interface Situation {
  readonly says: string;
  readonly lease: Lease | null;
  readonly use: LeaseUse | null;
  readonly from?: string;
  /** Minutes after the lease was made: what the clock says, and the latest time in the log. */
  readonly now: number;
  readonly log?: number;
}

/** A lease is of 15 minutes, with a grace of one. */
const SITUATIONS: readonly Situation[] = [
  { says: "no lease", lease: null, use: null, now: 5 },
  { says: "no lease, and the latch was released in an earlier one", lease: null, use: used(0, 1), now: 5 },
  { says: "a lease, at its first moment", lease: LEASE, use: null, now: 0 },
  { says: "a lease, at its last moment", lease: LEASE, use: null, now: 15 - 1 / MINUTE_MS },
  { says: "a lease, and the latch was released in an earlier one", lease: LEASE, use: used(-60, 1), now: 5 },
  { says: "released in it, within the grace, the same address", lease: LEASE, use: used(5), now: 5.9 },
  { says: "released in it, within the grace, another address", lease: LEASE, use: used(5), now: 5.9, from: OTHER },
  { says: "released in it, the grace is over, the same address", lease: LEASE, use: used(5), now: 6 },
  { says: "released in it, the grace is over, another address", lease: LEASE, use: used(5), now: 6, from: OTHER },
  { says: "released in it, a grace of 0, in the same moment", lease: { ...LEASE, graceMs: 0 }, use: used(5), now: 5 },
  { says: "released in it, within the grace, the lease is over", lease: LEASE, use: used(14.5), now: 15 },
  { says: "the lease is over", lease: LEASE, use: null, now: 15 },
  { says: "over by the log, and the clock was set back", lease: LEASE, use: null, now: 14.5, log: 15 },
  { says: "the clock is a minute behind the log", lease: LEASE, use: null, now: 5, log: 6 },
  { says: "the clock is more than a minute behind the log", lease: LEASE, use: null, now: 4.9, log: 6 },
  { says: "made while the clock was years ahead, which is right again", lease: LEASE, use: null, now: -1e6, log: 0 },
  { says: "released while the clock was years ahead", lease: LEASE, use: used(1e6), now: 5, log: 1e6 },
  { says: "the grace is over by the log, and the clock was set back", lease: LEASE, use: used(5), now: 5.5, log: 6 },
];

const COLUMNS: readonly { readonly says: string; readonly policy: Policy; readonly states: readonly [State, State] }[] =
  [
    { says: "`always`", policy: "always", states: ["active", "active"] },
    { says: "`lease`", policy: "lease", states: ["active", "active"] },
    { says: "`lease`, machine locked", policy: "lease", states: ["locked", "active"] },
    { says: "`lease`, latch locked", policy: "lease", states: ["active", "locked"] },
    { says: "`lease`, revoked", policy: "lease", states: ["revoked", "revoked"] },
  ];

/** The matrix as the table of the page. */
export function policyMatrix(): string {
  const head = [`| | ${COLUMNS.map(({ says }) => says).join(" | ")} |`, `|---|${"---|".repeat(COLUMNS.length)}`];
  const rows = SITUATIONS.map((situation) => {
    const cells = COLUMNS.map(({ policy, states }) => answer(situation, policy, states));
    return `| ${situation.says} | ${cells.join(" | ")} |`;
  });
  return [...head, ...rows].join("\n");
}

function answer({ lease, use, from, now, log }: Situation, policy: Policy, [machine, latch]: readonly [State, State]) {
  const decision = decide(
    { state: machine, policy, lease },
    { state: latch, pace: RESTED, use },
    { from: from ?? SAME, nowMs: MADE_MS + now * MINUTE_MS, latestMs: MADE_MS + (log ?? Math.min(now, 0)) * MINUTE_MS },
  );
  if (!decision.release) return `\`${decision.reason}\``;
  return decision.use === null ? "release" : "release, which opens the grace";
}
