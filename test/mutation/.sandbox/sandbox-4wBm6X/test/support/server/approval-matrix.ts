/** The second matrix of docs/policy.md: what the policy `approval` answers in each situation. */
// @ts-nocheck

import { decide, type Queue, type State } from "../../../src/server/policy/decide.ts";
import type { Lease, LeaseUse } from "../../../src/server/policy/lease.ts";
import { RESTED } from "../../../src/server/policy/pace.ts";

const MADE_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const [SAME, OTHER] = ["192.0.2.1", "192.0.2.9"];
const OPEN: Lease = { number: 2, untilMs: MADE_MS + 10 * MINUTE_MS, graceMs: MINUTE_MS, to: SAME };
const USED: LeaseUse = { lease: 2, atMs: MADE_MS + MINUTE_MS, from: SAME };
const NOBODY = { ofMachine: 0, ofNetwork: 0, around: 0, all: 0 };
const WAITS = {
  id: "5f0c91ab",
  state: "waiting",
  approvedBy: [],
  expiresMs: MADE_MS + 60 * MINUTE_MS,
  latestMs: MADE_MS,
} as const;
const DENIED = { ...WAITS, state: "denied" } as const;

interface Situation {
  readonly says: string;
  readonly own?: Queue["own"];
  readonly crowd?: Queue["crowd"];
  readonly lease?: Lease;
  readonly use?: LeaseUse;
  readonly from?: string;
  /** Minutes after the request or the window was made: what the clock says, and the log. */
  readonly now: number;
  readonly log?: number;
}

const SITUATIONS: readonly Situation[] = [
  { says: "nobody was asked", now: 0 },
  { says: "nobody was asked, and 16 other addresses wait", crowd: { ...NOBODY, ofMachine: 16 }, now: 0 },
  { says: "it waits", own: WAITS, now: 59 },
  { says: "it waits, and one of two operators has approved", own: { ...WAITS, approvedBy: [1000] }, now: 59 },
  { says: "it waited, and the request is over", own: WAITS, now: 60 },
  {
    says: "it waits, and the clock is more than a minute behind the log",
    own: { ...WAITS, latestMs: MADE_MS + 6 * MINUTE_MS },
    now: 4.9,
  },
  { says: "an operator has denied it", own: DENIED, now: 59 },
  { says: "an operator had denied it, and the request is over", own: DENIED, now: 60 },
  { says: "approved", lease: OPEN, now: 0 },
  { says: "approved, another address", lease: OPEN, from: OTHER, now: 0 },
  { says: "approved, at the last moment of its window", lease: OPEN, now: 10 - 1 / MINUTE_MS },
  { says: "approved, and the window is over", lease: OPEN, now: 10 },
  { says: "approved, over by the log, and the clock was set back", lease: OPEN, now: 9.5, log: 10 },
  { says: "approved and released, within the grace, the same address", lease: OPEN, use: USED, now: 1.9 },
  { says: "approved and released, within the grace, another address", lease: OPEN, use: USED, from: OTHER, now: 1.9 },
  { says: "approved and released, and the grace is over", lease: OPEN, use: USED, now: 2 },
];

const COLUMNS: readonly { readonly says: string; readonly states: readonly [State, State] }[] = [
  { says: "`approval`", states: ["active", "active"] },
  { says: "machine locked", states: ["locked", "active"] },
  { says: "latch locked", states: ["active", "locked"] },
  { says: "revoked", states: ["revoked", "revoked"] },
];

/** The matrix as the table of the page. */
export function approvalMatrix(): string {
  const head = [`| | ${COLUMNS.map(({ says }) => says).join(" | ")} |`, `|---|${"---|".repeat(COLUMNS.length)}`];
  const rows = SITUATIONS.map((situation) => {
    const cells = COLUMNS.map(({ states }) => answer(situation, states));
    return `| ${situation.says} | ${cells.join(" | ")} |`;
  });
  return [...head, ...rows].join("\n");
}

function answer(
  { own = null, crowd = NOBODY, lease, use, from = SAME, now, log = 0 }: Situation,
  states: readonly [State, State],
) {
  const [machine, latch] = states;
  const decision = decide(
    { state: machine, policy: "approval", lease: lease ?? null, queue: { own, crowd } },
    { state: latch, pace: RESTED, use: use ?? null },
    { from, nowMs: MADE_MS + now * MINUTE_MS, latestMs: MADE_MS + log * MINUTE_MS },
  );
  if (decision.release) return decision.use === null ? "release" : "release, which opens the grace";
  return `\`${decision.reason}\`${decision.begins === true ? ", and operators are asked" : ""}`;
}
