/** How long to wait between two attempts at the same source. */
interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 250, longestMs: 5000 };

/**
 * Exponential with half of it left to chance, so that machines which came up together do not ask together again.
 * @param attempt counted from 0: the attempt that has just failed
 * @param chance uniform in [0, 1)
 */
export function delayAfterMs(attempt: number, chance: number, backoff: Backoff = DEFAULT_BACKOFF): number {
  const fullMs = Math.min(backoff.longestMs, backoff.firstMs * 2 ** Math.min(attempt, 30));
  return Math.round(fullMs / 2 + (fullMs / 2) * chance);
}
