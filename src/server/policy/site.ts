import { hasExpired } from "./expiry.ts";

/** Whether a site is as ever, held, or in the window that an operator has opened after a hold. */
export type SiteState = "free" | "held" | "open";

/** How many machines are let in, in a time. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

/** A site that is not as ever. Times are of the monotonic clock of this run of the server. */
export interface Site {
  readonly state: Exclude<SiteState, "free">;
  /** Counts the site's holds: a machine that fell silent in another is none of this one's. */
  readonly hold: number;
  /** Counts the site's windows. */
  readonly window: number;
  /** How fast machines are let in; null while it is held. */
  readonly rate: Rate | null;
  /** When the window is over. */
  readonly untilMs: number;
  /** When the last machine was let in. */
  readonly lastMs: number;
}

/** What the policy knows of a machine of a site. */
export interface SiteMember {
  /** The hold in which it fell silent with others of its site; null where it did not. */
  readonly goneIn: number | null;
  /** Whether it asks from the place that it had been alive from. */
  readonly isHome: boolean;
  /** The last window that it was let in; null where there was none. */
  readonly letIn: number | null;
}

/** Why a machine of a site is not released. */
export type SiteRefusal = "policy/site-held" | "policy/site-full" | "policy/other-place" | "policy/not-alive";

/** What lets a machine in that its site's window has room for. */
interface Entrance {
  /** The window's number. */
  readonly enters: number;
  /** It comes back, whatever its heartbeats were; else its policy has to release it, too. */
  readonly returns: boolean;
}

/**
 * What its site means for a machine that asks: nothing (`as-ever`); that it is let in; that it
 * waits for its turn, should its policy release it (`waits`); or that it is refused.
 * @param site null: it is as ever
 */
export function judgeSite(
  site: Site | null,
  { goneIn, isHome, letIn }: SiteMember,
  nowMs: number,
): "as-ever" | "waits" | Entrance | SiteRefusal {
  if (site?.state === "held") return "policy/site-held";
  const isOpen = site !== null && nowMs < site.untilMs;
  if (goneIn !== null) {
    // What fell silent alone, or at another time, does not come back with the others.
    if (!isOpen || goneIn !== site.hold) return "policy/not-alive";
    if (!isHome) return "policy/other-place";
    return hasRoom(site, nowMs) ? { enters: site.window, returns: true } : "policy/site-full";
  }
  if (!isOpen || letIn === site.window) return "as-ever";
  return hasRoom(site, nowMs) ? { enters: site.window, returns: false } : "waits";
}

/**
 * Whether the next machine may be let in. Each is let in so long after the one before that no more
 * than the rate's count are in any time as long as the rate's. It is one product, not a sum that
 * grows, so it is exact however many there are.
 */
function hasRoom({ rate, lastMs }: Site, nowMs: number): boolean {
  return rate !== null && (nowMs - lastMs) * rate.count >= rate.perMs;
}

/** A machine of a site under `alive`, as far as its silence goes: what alive.ts knows of it. */
export interface Silence {
  readonly timeoutMs: number;
  readonly dueMs: number;
  /** Whether it fell silent with the site in the hold that the site is in. */
  readonly isGone: boolean;
}

/** So many machines at least fall silent together. */
const LEAST_TOGETHER = 2;

/**
 * How many machines of a site fell silent with one whose time is over, itself among them, and of
 * how many that were there then. Silence counts from a machine's last heartbeat, or from when the
 * server began to listen. One that has the time of a boot is neither silent nor there: nobody
 * knows.
 * @param others those of the site under `alive` that are not locked, without itself
 */
export function countSilent(
  own: Silence,
  others: Iterable<Silence>,
  nowMs: number,
): { readonly silent: number; readonly of: number } {
  let [silent, of] = [1, 1];
  for (const other of others) {
    const agoMs = nowMs - sinceOf(other);
    if (agoMs < 0) continue;
    // A machine sends four heartbeats within its timeout, so one of them at least is missing.
    const isQuiet = other.isGone || agoMs >= other.timeoutMs / 2;
    const apartMs = Math.abs(sinceOf(other) - sinceOf(own));
    const isWith = isQuiet && apartMs <= Math.max(other.timeoutMs, own.timeoutMs);
    if (isWith) silent++;
    if (isWith || !other.isGone) of++;
  }
  return { silent, of };
}

/**
 * Whether a silence is the site's, such as a power cut, and not a machine's own: two at least, and
 * half of those that were there.
 */
export function isOfSite({ silent, of }: { readonly silent: number; readonly of: number }): boolean {
  return silent >= LEAST_TOGETHER && silent * 2 >= of;
}

/** Since when a machine is silent, as far as that counts. */
function sinceOf({ dueMs, timeoutMs }: Silence): number {
  return dueMs - timeoutMs;
}

/** A window as it lasts beyond a run of the server. Times are of the wall clock. */
export interface StoredWindow {
  readonly rate: Rate;
  readonly untilMs: number;
  /** When it was opened. */
  readonly savedMs: number;
}

/** A site as it lasts beyond a run of the server. */
export interface StoredSite {
  readonly state: SiteState;
  readonly hold: number;
  readonly window: number;
  /** Null but while it is open. */
  readonly open: StoredWindow | null;
}

/** What the server knows of the time at its start. */
interface StartOfSite {
  /** The wall clock. */
  readonly nowMs: number;
  /** The latest time that the log has seen since the window was opened. */
  readonly latestMs: number;
  readonly monotonicMs: number;
}

/**
 * The site with which a run of the server begins; null: it is as ever. A window that is over by the
 * clock, or of which the clock says nothing, has become a hold again: a clock that jumps lets
 * nobody in and locks nobody. The first machine waits for its turn.
 */
export function resumedSite(
  { state, hold, window, open }: StoredSite,
  { nowMs, latestMs, monotonicMs }: StartOfSite,
): Site | null {
  if (state === "free") return null;
  if (state === "held" || open === null) return heldSite(hold, window);
  const { rate, untilMs, savedMs } = open;
  if (hasExpired(untilMs, { nowMs, latestMs: Math.max(latestMs, savedMs) })) return heldSite(hold, window);
  const leftMs = Math.min(untilMs - nowMs, untilMs - savedMs);
  return { state, hold, window, rate, untilMs: monotonicMs + leftMs, lastMs: monotonicMs };
}

/** A site that is held. */
export function heldSite(hold: number, window: number): Site {
  return { state: "held", hold, window, rate: null, untilMs: 0, lastMs: Number.NEGATIVE_INFINITY };
}
