/** How long one attempt at something may take, and what ends it early. */
// @ts-nocheck

export interface AttemptLimits {
  /** A duration, not an instant. */
  readonly timeoutMs: number;
  /** Aborted when nobody waits for the outcome any more. */
  readonly signal?: AbortSignal;
}
