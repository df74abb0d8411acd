/** What the server knows of the time. */
// @ts-nocheck

interface TimeFacts {
  /** What the clock says now. */
  readonly nowMs: number;
  /** The latest time that the log has seen since the thing was made that may have expired. */
  readonly latestMs: number;
}

/**
 * How far the clock may be behind the log before nothing that expires is good by it. A correction
 * of the clock is shorter.
 */
const SET_BACK_MS = 60_000;

/**
 * Whether something has expired that is good until a given time. Once the log has seen that time it
 * stays so, whatever the clock says later. While the clock is well behind the log nobody can tell
 * how long it has been, so it counts as too long.
 */
export function hasExpired(expiresMs: number, { nowMs, latestMs }: TimeFacts): boolean {
  return Math.max(nowMs, latestMs) >= expiresMs || nowMs < latestMs - SET_BACK_MS;
}
