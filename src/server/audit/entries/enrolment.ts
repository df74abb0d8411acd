import type { Dated } from "./dated.ts";

/** An operator made an invite. */
export interface InviteEntry extends Dated {
  readonly kind: "invite";
  readonly invite: string;
  readonly name: string;
  readonly expires: number;
  /** The group that the machine will be in. */
  readonly group?: string;
  /** The operator's user id on the server. */
  readonly by: number;
}

/**
 * A machine that was known came with an invite, and got the latch that it had got for the same
 * nonce before.
 */
export interface InviteUseEntry extends Dated {
  readonly kind: "invite-used";
  readonly invite: string;
  readonly machine: string;
  readonly from: string;
}

/** An operator made an invite void. */
export interface InviteVoidEntry extends Dated {
  readonly kind: "invite-void";
  readonly invite: string;
  readonly name: string;
  readonly by: number;
}

/** Nobody used an invite in time. */
export interface InviteExpiryEntry extends Dated {
  readonly kind: "invite-expired";
  readonly invite: string;
  readonly name: string;
}

/**
 * A machine came with an invite and got its first latch (`enrol`); or it was known already and got
 * one more (`latch`).
 */
export interface BindingEntry extends Dated {
  readonly kind: "enrol" | "latch";
  readonly invite?: string;
  readonly machine: string;
  readonly name: string;
  /** The group that a new machine is in from now on, as its invite says. */
  readonly group?: string;
  readonly latch: string;
  readonly volume: string;
  /** S256 thumbprint of the exchange key. */
  readonly kid: string;
  readonly from: string;
}
