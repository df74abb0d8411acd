import type { Dated } from "./dated.ts";

/** The log's first entry. */
export interface StoreEntry extends Dated {
  readonly kind: "store";
  readonly store: string;
}

/**
 * An operator took an older copy of the store into use. What was done after it is lost, revocations
 * among it.
 */
export interface RollbackEntry extends Dated {
  readonly kind: "rollback";
  /** How many entries the log had come to before; `root` is the tree's root over them, base64. */
  readonly size: number;
  readonly root: string;
}
