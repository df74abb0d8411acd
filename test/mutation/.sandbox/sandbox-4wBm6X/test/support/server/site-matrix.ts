/** The matrix of docs/policy.md that tells what a site means for a machine that asks. */
// @ts-nocheck

import { begun } from "../../../src/server/policy/alive.ts";
import { decide } from "../../../src/server/policy/decide.ts";
import type { Policy } from "../../../src/server/policy/lease.ts";
import { RESTED } from "../../../src/server/policy/pace.ts";
import { heldSite, resumedSite, type Site } from "../../../src/server/policy/site.ts";

const MINUTE_MS = 60_000;
const WALL_MS = 1_800_000_000_000;
const [HOLD, WINDOW] = [2, 1];
const RATE = { count: 60, perMs: MINUTE_MS };
const STORED = { state: "open", hold: HOLD, window: WINDOW } as const;
const UNTIL = { rate: RATE, untilMs: WALL_MS + 60 * MINUTE_MS, savedMs: WALL_MS };

/** The window was opened at the time 0, and a machine was let in at the time 1 minute. */
const OPEN: Site = { ...STORED, rate: RATE, untilMs: 60 * MINUTE_MS, lastMs: MINUTE_MS };

/** After a restart, so many minutes after the window was opened, at the new run's time 0. */
const restarted = (minutes: number): Site | null =>
  resumedSite({ ...STORED, open: UNTIL }, { nowMs: WALL_MS + minutes * MINUTE_MS, latestMs: WALL_MS, monotonicMs: 0 });

interface Situation {
  readonly says: string;
  readonly site: Site | null;
  readonly nowMs: number;
}

const SITUATIONS: readonly Situation[] = [
  { says: "the site is as ever", site: null, nowMs: 5 * MINUTE_MS },
  { says: "the site is held", site: heldSite(HOLD, WINDOW), nowMs: 5 * MINUTE_MS },
  { says: "a window, at its first moment", site: { ...OPEN, lastMs: Number.NEGATIVE_INFINITY }, nowMs: 0 },
  { says: "60/m, 999 ms after the machine before", site: OPEN, nowMs: MINUTE_MS + 999 },
  { says: "60/m, a second after the machine before", site: OPEN, nowMs: MINUTE_MS + 1000 },
  { says: "the window, at its last moment", site: OPEN, nowMs: 60 * MINUTE_MS - 1 },
  { says: "the window is over", site: OPEN, nowMs: 60 * MINUTE_MS },
  { says: "the server was restarted within the window, a second ago", site: restarted(30), nowMs: 1000 },
  { says: "the same, and its time was over by then", site: restarted(60), nowMs: 1000 },
  { says: "the same, and the clock has gone back by years", site: restarted(-1e6), nowMs: 1000 },
  { says: "the same, and the clock has gone forward by years", site: restarted(1e6), nowMs: 1000 },
];

interface Column {
  readonly says: string;
  readonly policy: Policy;
  readonly goneIn?: number;
  readonly isHome?: boolean;
  readonly letIn?: number;
  readonly isLocked?: true;
}

const COLUMNS: readonly Column[] = [
  { says: "gone with it, its own address", policy: "alive", goneIn: HOLD, isHome: true },
  { says: "gone with it, another address", policy: "alive", goneIn: HOLD, isHome: false },
  { says: "gone in an earlier hold", policy: "alive", goneIn: HOLD - 1, isHome: true },
  { says: "gone alone", policy: "alive", isLocked: true },
  { says: "`alive`, heard", policy: "alive" },
  { says: "`always`", policy: "always" },
  { says: "let in by this window", policy: "always", letIn: WINDOW },
  { says: "`lease`, without one", policy: "lease" },
];

/** The matrix as the table of the page. */
export function siteMatrix(): string {
  const head = [`| | ${COLUMNS.map(({ says }) => says).join(" | ")} |`, `|---|${"---|".repeat(COLUMNS.length)}`];
  const rows = SITUATIONS.map((one) => `| ${one.says} | ${COLUMNS.map((column) => answer(one, column)).join(" | ")} |`);
  return [...head, ...rows].join("\n");
}

function answer({ site, nowMs }: Situation, column: Column): string {
  const { policy, goneIn = null, isHome = false, letIn = null, isLocked } = column;
  // Who is gone was last heard long before.
  const pulse = goneIn === null ? begun(15 * MINUTE_MS, nowMs) : begun(15 * MINUTE_MS, nowMs - 60 * MINUTE_MS);
  const isOf = site !== null || goneIn !== null;
  const decision = decide(
    {
      state: isLocked === true ? "locked" : "active",
      policy,
      lease: null,
      alive: { pulse, monotonicMs: nowMs },
      ...(isOf ? { site: { site, goneIn, isHome, letIn, monotonicMs: nowMs } } : {}),
    },
    { state: "active", pace: RESTED, use: null },
    { from: "192.0.2.1", nowMs: WALL_MS, latestMs: WALL_MS },
  );
  if (!decision.release) return `\`${decision.reason}\``;
  return decision.enters === undefined ? "release" : "release, which counts";
}
