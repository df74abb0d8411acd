import type { Dated } from "./dated.ts";

/** An operator changed a machine's state, and with it that of all its latches. */
export interface MachineEntry extends Dated {
  readonly kind: "machine-lock" | "machine-unlock" | "machine-revoke";
  readonly machine: string;
  readonly name: string;
  /** The machine's epoch from now on. */
  readonly epoch: number;
  readonly by: number;
}

/**
 * A machine under `alive` was not heard for longer than its timeout, and is locked since, as by
 * `machine-lock`.
 */
export interface GoneEntry extends Dated {
  readonly kind: "machine-gone";
  readonly machine: string;
  readonly name: string;
  readonly epoch: number;
  /** Milliseconds. */
  readonly timeout: number;
  /** When it was last heard; absent where it never was. */
  readonly last?: number;
}

/** An operator changed one latch's state. */
export interface LatchEntry extends Dated {
  readonly kind: "latch-lock" | "latch-unlock" | "latch-revoke";
  readonly machine: string;
  readonly latch: string;
  readonly by: number;
}

/** A latch has keys of the next epoch; those of the one before are released as well for now. */
export interface LatchRotateEntry extends Dated {
  readonly kind: "latch-rotate";
  readonly machine: string;
  readonly latch: string;
  /** The epoch that was begun. */
  readonly epoch: number;
  /** S256 thumbprint of its exchange key. */
  readonly kid: string;
  readonly by: number;
}

/** The keys of a latch's former epoch were destroyed. */
export interface LatchRetireEntry extends Dated {
  readonly kind: "latch-retire";
  readonly machine: string;
  readonly latch: string;
  /** The epoch that is over. */
  readonly epoch: number;
  /** Where the machine said from that it needs them no more; absent where an operator did. */
  readonly from?: string;
  readonly by?: number;
}
