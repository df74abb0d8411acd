/** The second matrix of docs/policy.md: what the policy `alive` answers in each situation. */
// @ts-nocheck

import { begun, forgiven, heard, type Pulse, released, resumed, stored } from "../../../src/server/policy/alive.ts";
import { decide, type State } from "../../../src/server/policy/decide.ts";
import { RESTED } from "../../../src/server/policy/pace.ts";

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 5 * MINUTE_MS;
const WALL_MS = 1_800_000_000_000;
/** Shorter than any time that is told here. */
const MOMENT_MS = 1;

interface Situation {
  readonly says: string;
  readonly pulse: Pulse | null;
  readonly nowMs: number;
}

/** Heard at the time 0. */
const HEARD = heard(begun(TIMEOUT_MS, 0), 0) as Pulse;
/** Released at the time 4 minutes. */
const RELEASED = released(HEARD, 4 * MINUTE_MS) as Pulse;
const KEPT = stored(HEARD, { nowMs: WALL_MS, monotonicMs: 0 });

/** After a restart, at the new run's time 0. */
function restarted(awayMinutes: number, latestMs = WALL_MS): Pulse {
  return resumed(KEPT, { nowMs: WALL_MS + awayMinutes * MINUTE_MS, latestMs, monotonicMs: 0 });
}

const SITUATIONS: readonly Situation[] = [
  { says: "nothing is known of it", pulse: null, nowMs: 0 },
  { says: "put under it, or unlocked, just now", pulse: begun(TIMEOUT_MS, 0), nowMs: 0 },
  { says: "the same, 15 minutes ago", pulse: begun(TIMEOUT_MS, 0), nowMs: 15 * MINUTE_MS },
  { says: "heard just now", pulse: HEARD, nowMs: 0 },
  { says: "heard less than the timeout ago", pulse: HEARD, nowMs: TIMEOUT_MS - MOMENT_MS },
  { says: "heard as long ago as the timeout", pulse: HEARD, nowMs: TIMEOUT_MS },
  {
    says: "released since, less than 15 minutes ago",
    pulse: RELEASED,
    nowMs: 19 * MINUTE_MS - MOMENT_MS,
  },
  { says: "released since, 15 minutes ago", pulse: RELEASED, nowMs: 19 * MINUTE_MS },
  { says: "heard 4 minutes before, and the server was away for them", pulse: restarted(4), nowMs: 0 },
  { says: "the same, and a minute later", pulse: restarted(4), nowMs: MINUTE_MS },
  { says: "heard an hour before, and the server was away for it", pulse: restarted(60), nowMs: 0 },
  { says: "heard just before a restart, and the clock has gone back by years", pulse: restarted(-1e6), nowMs: 0 },
  { says: "heard just before a restart, and the clock has gone forward by years", pulse: restarted(1e6), nowMs: 0 },
  {
    says: "heard just before a restart, and the log is a day ahead of the clock",
    pulse: restarted(0, WALL_MS + 1440 * MINUTE_MS),
    nowMs: 0,
  },
  {
    says: "heard an hour before, and the server was held up for it",
    pulse: forgiven(HEARD, 60 * MINUTE_MS),
    nowMs: 60 * MINUTE_MS,
  },
];

const COLUMNS: readonly (readonly [says: string, machine: State, latch: State])[] = [
  ["`alive`", "active", "active"],
  ["machine locked", "locked", "active"],
  ["latch locked", "active", "locked"],
  ["revoked", "revoked", "revoked"],
];

/** The matrix as the table of the page. */
export function aliveMatrix(): string {
  const head = [
    `| | ${COLUMNS.map(([says]) => says).join(" | ")} | locked for it |`,
    `|---|${"---|".repeat(COLUMNS.length + 1)}`,
  ];
  const rows = SITUATIONS.map((situation) => {
    const cells = COLUMNS.map(([, machine, latch]) => answer(situation, machine, latch));
    return `| ${situation.says} | ${cells.join(" | ")} | ${lockedIn(situation)} |`;
  });
  return [...head, ...rows].join("\n");
}

function answer({ pulse, nowMs }: Situation, machine: State, latch: State): string {
  const decision = decide(
    { state: machine, policy: "alive", lease: null, alive: { pulse, monotonicMs: nowMs } },
    { state: latch, pace: RESTED, use: null },
    { from: "192.0.2.1", nowMs: WALL_MS, latestMs: WALL_MS },
  );
  if (!decision.release) return `\`${decision.reason}\``;
  return decision.pulse === undefined ? "release" : "release, which gives the time of a boot";
}

/** When a machine that is not heard is locked. */
function lockedIn({ pulse, nowMs }: Situation): string {
  if (pulse === null) return "no";
  const left = Math.ceil((pulse.dueMs - nowMs) / MINUTE_MS);
  return left <= 0 ? "now" : `in ${left} min`;
}
