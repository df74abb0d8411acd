import type { Dated } from "./dated.ts";

/** A latch was released: this is the receipt. */
export interface ReleaseEntry extends Dated {
  readonly kind: "release";
  readonly machine: string;
  readonly latch: string;
  /** The epoch of the key that answered. */
  readonly epoch: number;
  readonly from: string;
  /** Number of the lease that the latch was released in for the first time; else absent. */
  readonly lease?: number;
  /** Number of the window of its site that has let the machine in with this; else absent. */
  readonly window?: number;
  /** Where releases are counted: which one of its day it was, and when that day began. */
  readonly day?: number;
  readonly since?: number;
}

/**
 * The latch is released however often it is asked until `until`, because it was asked too often for
 * a receipt each.
 */
export interface FloodEntry extends Dated {
  readonly kind: "flood";
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  /** Where it is released to; absent where there are too many addresses to tell apart. */
  readonly from?: string;
  readonly until: number;
}

/** How often the latch was released under the receipt of `since`. */
export interface FloodEndEntry extends Dated {
  readonly kind: "flood-end";
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  readonly from?: string;
  readonly count: number;
  readonly since: number;
  /** When the last of them was; absent in entries of older versions. */
  readonly last?: number;
}

/** The first refusal of its kind in an hour. */
export interface RefusalEntry extends Dated {
  readonly kind: "refusal";
  readonly reason: string;
  /**
   * The id of a latch, a machine or an invite; absent where there is none, or there are too many.
   */
  readonly subject?: string;
  /**
   * Whose identity came with the invite that is the subject, where the server knows that identity
   * by another name.
   */
  readonly machine?: string;
  readonly from: string;
}

/** How many more refusals of the kind there were until `at`. */
export interface RepeatEntry extends Dated {
  readonly kind: "refusals";
  readonly reason: string;
  readonly subject?: string;
  readonly count: number;
  readonly since: number;
}
