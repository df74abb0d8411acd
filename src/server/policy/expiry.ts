/** What the server knows of the time. */
interface TimeFacts {
  /** By the clock, now. */
  readonly nowMs: number;
  /** The latest that the log has seen since what may have expired was made. */
  readonly latestMs: number;
}

/**
 * How far the clock may go back before nothing that expires is good by it: a correction is shorter.
 */
const SET_BACK_MS = 60_000;

/**
 * Whether something that is good until a time is good no more. Once the log has seen that time it
 * stays so, whatever the clock says later. While the clock is well behind the log, how long it has
 * been cannot be told, so it counts as too long.
 */
export function hasExpired(expiresMs: number, { nowMs, latestMs }: TimeFacts): boolean {
  return Math.max(nowMs, latestMs) >= expiresMs || nowMs < latestMs - SET_BACK_MS;
}
