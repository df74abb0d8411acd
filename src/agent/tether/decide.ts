import type { HeardServer, Trip } from "../../formats/own/tether.ts";

/** What agent.toml says of when the tether is tripped. */
interface TetherRule {
  /** For how long no server may answer; null: silence trips nothing. */
  readonly afterMs: number | null;
  /**
   * For how long silence trips nothing after the machine was held up: it slept, or was stopped as
   * a virtual machine is. It has not listened meanwhile, and its sender needs time to.
   */
  readonly settleMs: number;
}

/**
 * What is known now. Times are milliseconds since the machine was started, on the clock that nobody
 * sets, and that goes on while it sleeps.
 */
export interface KnownOfServers {
  readonly nowMs: number;
  /** What each server said last. One that was never heard since the start is not among them. */
  readonly servers: readonly HeardServer[];
  /** Since when the machine was not held up. */
  readonly listeningSinceMs: number;
  /** Until when root has said that silence is expected; null where nothing was said. */
  readonly pausedUntilMs: number | null;
  /** What it was tripped by last; null where it was not. */
  readonly trip: Pick<Trip, "atMs"> | null;
}

/** Whether the tether is tripped now, and why. */
export type TetherVerdict =
  | { readonly kind: "holds" }
  /** This server has said that the machine is locked. */
  | { readonly kind: "locked"; readonly url: string }
  /** No server has answered for so long. */
  | { readonly kind: "gone"; readonly silentMs: number };

const HOLDS: TetherVerdict = { kind: "holds" };

/**
 * Decides whether the tether is tripped. One server that says `lock` is enough, as one operator who
 * denies is; silence has to be that of all. What tripped it once does not again: whoever has
 * resumed the volumes since, by a passphrase, must not lose them to the same lock. A lease that a
 * server has last told of, whoever opened it, says that silence is expected until it ends. Where no
 * server was heard since the last trip, or since the start, silence trips nothing: a machine that a
 * person has started without its servers is to run.
 */
export function decideTether({ afterMs, settleMs }: TetherRule, facts: KnownOfServers): TetherVerdict {
  const { nowMs, servers, listeningSinceMs, pausedUntilMs, trip } = facts;
  const isNew = (atMs: number) => trip === null || atMs > trip.atMs;
  const locker = servers.find(({ lockedMs }) => lockedMs !== null && isNew(lockedMs));
  if (locker !== undefined) return { kind: "locked", url: locker.url };
  if (afterMs === null || nowMs < listeningSinceMs + settleMs) return HOLDS;
  if (pausedUntilMs !== null && nowMs < pausedUntilMs) return HOLDS;
  // What is said to have been heard in the future was heard by nobody.
  const heard = servers.filter(({ heardMs }) => heardMs <= nowMs && isNew(heardMs));
  const isAway = heard.some(({ leaseMs }) => leaseMs !== null && nowMs < leaseMs);
  if (heard.length === 0 || isAway) return HOLDS;
  const silentMs = nowMs - Math.max(...heard.map(({ heardMs }) => heardMs));
  return silentMs >= afterMs ? { kind: "gone", silentMs } : HOLDS;
}

/** A process that looked this much too late was held up, and the sender beside it too. */
const HELD_UP_MS = 10_000;

/** Since when the machine was not held up, by when the tether looked before. */
export function listeningSince(sinceMs: number, lookedMs: number, nowMs: number): number {
  return nowMs - lookedMs > HELD_UP_MS ? nowMs : sinceMs;
}

const SLACK_MS = 30_000;

/**
 * How long a sender that was held up may take for its next heartbeat, but no longer than `afterMs`.
 */
export function settleTime(intervalMs: number, afterMs: number | null): number {
  return Math.min(intervalMs + SLACK_MS, afterMs ?? Number.POSITIVE_INFINITY);
}
