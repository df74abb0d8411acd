import type { State } from "../../policy/decide.ts";
import type { LeaseUse } from "../../policy/lease.ts";
import type { Day } from "../../policy/limits.ts";
import type { Approval } from "../../policy/request.ts";
import type { Rate } from "../../policy/site.ts";

/** A machine as the log or the store tells of it. */
export interface KnownMachine {
  readonly id: string;
  readonly name: string;
  readonly state: State;
  readonly epoch: number;
  /** As `policyText` puts it. */
  readonly policy: string;
  /** Of whom that was said: `machine`, `group` or `default`. */
  readonly source: string;
  /** The group that it is in; empty where it is in none. */
  readonly group: string;
  /** Its leases, as `leaseText` puts them. */
  readonly lease: string;
}

/** A latch as the log or the store tells of it. */
export interface KnownLatch {
  readonly id: string;
  readonly machine: string;
  readonly volume: string;
  readonly state: State;
  readonly epoch: number;
  /** Which keys there are, as `keyNames` puts it; empty once destroyed. */
  readonly keys: string;
  /** Its first release within the last lease that it was released in, as `useText` puts it. */
  readonly use: string;
  /** Its releases that were counted last, as `dayText` puts them. */
  readonly day: string;
}

/** An invite as the log or the store tells of it. */
export interface KnownInvite {
  readonly id: string;
  readonly name: string;
  /** `open`, `used` or `void`. */
  readonly state: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
  /** Who used it. */
  readonly machine: string | null;
  /** The group that whoever comes with it is put into; empty: into none. */
  readonly group: string;
}

/** A group of machines as the log or the store tells of it. */
export interface KnownGroup {
  /** Its name. */
  readonly id: string;
  /** As `policyText` puts it; empty where nothing is said of it. */
  readonly policy: string;
  /** Where it stands as a site, as `siteText` puts it. */
  readonly site: string;
}

/** A request for an approval as the log or the store tells of it. */
export interface KnownRequest {
  readonly id: string;
  readonly machine: string;
  readonly from: string;
  /** `waiting` or `denied`. */
  readonly state: string;
  /** Who has approved, user ids in the order of their votes, with commas in between. */
  readonly approvedBy: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** A key as the log or the store tells of it. */
interface KnownKey {
  /** `exchange` or `signing`. */
  readonly purpose: string;
  readonly epoch: number;
  /** Null where it is not told apart from others of its kind. */
  readonly kid: string | null;
}

/**
 * Names keys in one text: `exchange 1 KID, signing 1`. The log tells which exchange key a latch
 * has, and of its signing key only that there is one.
 */
export function keyNames(keys: readonly KnownKey[]): string {
  return keys
    .map(({ purpose, epoch, kid }) => (purpose === "exchange" ? `${purpose} ${epoch} ${kid}` : `${purpose} ${epoch}`))
    .sort()
    .join(", ");
}

/**
 * Puts a policy and its terms into one text: `always`, `alive 300000` (its timeout, in
 * milliseconds), `approval of 2 for 3600000 hours 08:00-18:00` with what bounds it.
 */
export function policyText(
  policy: string,
  terms: { readonly approval: Approval | null; readonly timeoutMs: number | null; readonly limits: string | null },
): string {
  const { approval, timeoutMs, limits } = terms;
  const silence = approval === null && timeoutMs !== null ? ` ${timeoutMs}` : "";
  const asked = approval === null ? silence : ` of ${approval.of} for ${approval.timeoutMs}`;
  return `${policy}${asked}${limits === null ? "" : ` ${limits}`}`;
}

/** Puts the releases of a latch that were counted last into one text; empty where none was. */
export function dayText(day: Day | null): string {
  return day === null ? "" : `${day.count} since ${day.sinceMs}`;
}

/**
 * Puts a machine's leases into one text: `3 until 1800000000000 grace 60000 by 0`. Only the number
 * of the last one where there is none now; `by` only where an operator made it, and `to` with the
 * one address that it is open for.
 */
export function leaseText(
  leases: number,
  lease: {
    readonly untilMs: number;
    readonly graceMs: number;
    readonly by: number | null;
    readonly to: string | null;
  } | null,
): string {
  if (lease === null) return String(leases);
  const { untilMs, graceMs, by, to } = lease;
  const whose = `${by === null ? "" : ` by ${by}`}${to === null ? "" : ` to ${to}`}`;
  return `${leases} until ${untilMs} grace ${graceMs}${whose}`;
}

/**
 * Puts where a site stands into one text: `held hold 2 window 1`, `open hold 2 window 2 until
 * 1800000000000 60 per 60000`.
 */
export function siteText(site: {
  readonly state: string;
  readonly hold: number;
  readonly window: number;
  readonly open: { readonly untilMs: number; readonly rate: Rate } | null;
}): string {
  const { state, hold, window, open } = site;
  const until = open === null ? "" : ` until ${open.untilMs} ${open.rate.count} per ${open.rate.perMs}`;
  return `${state} hold ${hold} window ${window}${until}`;
}

/** Puts a first release within a lease into one text; empty where there was none. */
export function useText(use: LeaseUse | null): string {
  return use === null ? "" : `${use.lease} at ${use.atMs} from ${use.from}`;
}

/** Who cosigns this log, as the log or the store tells of it. */
export interface KnownWitness {
  /** Its name. */
  readonly id: string;
  /** Its verifier key. */
  readonly key: string;
  readonly url: string;
}

/** A log that is cosigned here, as the log or the store tells of it. */
export interface KnownWitnessedLog {
  /** Its origin. */
  readonly id: string;
  /** Its verifier key. */
  readonly key: string;
  /**
   * `whole` where what was signed last is what the log itself had signed, or nothing was; else
   * `damaged`. Which size it was the log does not say.
   */
  readonly signed: string;
}

/** What the store's tables say. */
export interface KnownRows {
  readonly machines: readonly KnownMachine[];
  readonly latches: readonly KnownLatch[];
  readonly groups: readonly KnownGroup[];
  readonly invites: readonly KnownInvite[];
  readonly requests: readonly KnownRequest[];
  readonly witnesses: readonly KnownWitness[];
  readonly witnessedLogs: readonly KnownWitnessedLog[];
}
