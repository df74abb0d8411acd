import type { Dated } from "./dated.ts";

/** A machine got a lease, in place of the one that it had. */
export interface LeaseEntry extends Dated {
  readonly kind: "lease";
  readonly machine: string;
  /** Counts the machine's leases. */
  readonly lease: number;
  readonly until: number;
  /** Milliseconds. */
  readonly grace: number;
  /** Where the machine itself announced it from; absent where an operator made it. */
  readonly from?: string;
  /** The operator who made it, or whose lease it goes on with; absent where it is the machine's. */
  readonly by?: number;
  /** The one address that it is open for; absent where it is any. */
  readonly to?: string;
  /** The request that was approved with it, and is over. */
  readonly request?: string;
}

/**
 * A lease ended by its time; with `from`, because the machine took it back; with `why`, because
 * it was heard after the boot for which the lease was.
 */
export interface LeaseEndEntry extends Dated {
  readonly kind: "lease-end";
  readonly machine: string;
  readonly lease: number;
  readonly from?: string;
  readonly why?: "booted";
}

/**
 * Operators are asked to have a machine released to an address. The machine's first ask began it,
 * or, with `by`, an operator did.
 */
export interface RequestEntry extends Dated {
  readonly kind: "request";
  readonly request: string;
  readonly machine: string;
  /** The address. */
  readonly from: string;
  /** When it expires. */
  readonly until: number;
  /** The latch that was asked for; absent where an operator began it. */
  readonly latch?: string;
  readonly by?: number;
}

/** An operator approved of a request, or denied it. */
export interface RequestVoteEntry extends Dated {
  readonly kind: "request-approve" | "request-deny";
  readonly request: string;
  readonly machine: string;
  readonly by: number;
}

/** A request expired, whatever operators had said of it. */
export interface RequestExpiryEntry extends Dated {
  readonly kind: "request-expired";
  readonly request: string;
  readonly machine: string;
}
