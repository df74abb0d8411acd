// @ts-nocheck
const FIRST_MS = 250;
const LONGEST_MS = 5000;

/**
 * How long to wait between two attempts at the same source: exponential, with half of it left to
 * chance, so that machines which came up together do not ask together again.
 * @param attempt counted from 0: the attempt that has just failed
 * @param chance uniform in [0, 1)
 */
export function delayAfterMs(attempt: number, chance: number): number {
  const fullMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 30));
  return Math.round(fullMs / 2 + (fullMs / 2) * chance);
}
