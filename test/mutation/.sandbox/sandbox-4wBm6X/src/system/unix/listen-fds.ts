/** The number of the first descriptor that systemd passes. */
// @ts-nocheck

const LISTEN_FDS_START = 3;

/** The sockets that systemd has opened for this process: descriptors in a row. */
interface PassedSockets {
  /** The first descriptor. */
  readonly first: number;
  /** How many there are; 0 where $LISTEN_FDS is no number. */
  readonly count: number;
}

/**
 * Reads which sockets systemd has passed, as sd_listen_fds(3) does.
 * @param env the environment of this process
 * @param pid the id of this process: what was meant for another is not taken
 * @returns null where none were meant for this process
 */
export function readPassedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): PassedSockets | null {
  if (env["LISTEN_PID"] !== String(pid)) return null;
  const digits = /^\d{1,9}$/.exec(env["LISTEN_FDS"] ?? "")?.[0];
  return { first: LISTEN_FDS_START, count: Number(digits ?? 0) };
}
