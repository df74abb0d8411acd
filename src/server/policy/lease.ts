import { hasExpired } from "./expiry.ts";

/** What must hold for a machine's latches to be released. */
export type Policy = "always" | "alive" | "lease" | "approval";

/** A window in which each latch of a machine is released once: docs/policy.md. */
export interface Lease {
  /** Counts the machine's leases. A later one opens its latches anew. */
  readonly number: number;
  /** When it is over, in milliseconds since the epoch. */
  readonly untilMs: number;
  /**
   * How long after its first release a latch is released again, to the same address: the answer may
   * have been lost. 0: exactly one release.
   */
  readonly graceMs: number;
  /** The one address that it is open for, which operators have approved; null: any. */
  readonly to: string | null;
}

/** The first release of a latch within a lease. */
export interface LeaseUse {
  /** The lease's number. */
  readonly lease: number;
  readonly atMs: number;
  /** Whom it was answered to. */
  readonly from: string;
}

/** Who asks, and what the server knows of the time. */
export interface Asking {
  readonly from: string;
  readonly nowMs: number;
  /** The minute of the day, by the server's own time. Only limits look at it. */
  readonly minute?: number;
  /** The latest time that the log has seen since the lease was made. */
  readonly latestMs: number;
}

/** Why a policy releases nothing. It is for the log and the operator, never for whoever asks. */
export type PolicyRefusal = "policy/no-lease" | "policy/lease-over" | "policy/lease-used" | "policy/other-address";

/**
 * What a lease lets a latch do: be released for the first time, which is the use that is to be
 * kept; be answered again; or nothing.
 */
type LeaseDecision = LeaseUse | "again" | PolicyRefusal;

/**
 * Decides what a machine's lease means for one of its latches. A clock that is well behind the log
 * opens nothing, since nobody can tell then how long it has been (expiry.ts).
 */
export function judgeLease(lease: Lease | null, use: LeaseUse | null, asking: Asking): LeaseDecision {
  if (lease === null) return "policy/no-lease";
  if (hasExpired(lease.untilMs, asking)) return "policy/lease-over";
  if (lease.to !== null && lease.to !== asking.from) return "policy/other-address";
  if (use?.lease !== lease.number) return { lease: lease.number, atMs: asking.nowMs, from: asking.from };
  if (hasExpired(use.atMs + lease.graceMs, asking)) return "policy/lease-used";
  return use.from === asking.from ? "again" : "policy/other-address";
}
