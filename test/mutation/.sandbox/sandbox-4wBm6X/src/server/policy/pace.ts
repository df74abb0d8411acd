/**
 * How often one latch is released with a receipt of its own.
 *
 * A receipt stays on the disk for ever. Whoever has seen a latch's address could fill the server's
 * disk at thousands a second, while a machine that boots asks a few times, with its retries. Beyond
 * this pace one receipt stands for many releases (audit/floods.ts).
 *
 * It is a leaky bucket as one number (the generic cell rate algorithm, ITU-T I.371): the time at
 * which the bucket will be empty.
 */
// @ts-nocheck

export interface Pace {
  /** Milliseconds since the epoch; in the past when nothing was asked of late. */
  readonly emptyAtMs: number;
}

/** How many releases may follow each other at once, each with its receipt. */
const PACE_BURST = 120;
/** What one more release costs afterwards: there are 6 a minute. */
const PACE_INTERVAL_MS = 10_000;

/** The pace of a latch that was not asked of late. */
export const RESTED: Pace = { emptyAtMs: 0 };

/** The pace after one more release; null where it would be too many. */
export function take(pace: Pace, nowMs: number): Pace | null {
  const limitMs = nowMs + PACE_BURST * PACE_INTERVAL_MS;
  // A bucket fuller than full means that the clock was set back: nobody may be kept out for that.
  const emptyAtMs = Math.max(pace.emptyAtMs > limitMs ? 0 : pace.emptyAtMs, nowMs) + PACE_INTERVAL_MS;
  return emptyAtMs > limitMs ? null : { emptyAtMs };
}

/** Whether the pace says no more than RESTED does. */
export function isRested(pace: Pace, nowMs: number): boolean {
  return pace.emptyAtMs <= nowMs;
}
