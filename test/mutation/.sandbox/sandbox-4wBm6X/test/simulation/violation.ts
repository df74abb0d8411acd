/** What must always hold. Each is a word of docs/decisions/123 and 134. */
// @ts-nocheck

export type Invariant =
  /** No release that the policy forbids; none outside of a lease and its grace. */
  | "policy"
  /** No release after an acknowledged lock or revocation, also after a restart. */
  | "acknowledged"
  /** No release without a receipt that is on the disk before the answer, and stays. */
  | "receipt"
  /** No window but one that somebody opened who may, just now, once for each request. */
  | "lease"
  /** Who is silent for too long is locked, and nobody else is. */
  | "alive"
  /** No session and no heartbeat counts that its machine has not sent, now, once, from there. */
  | "heartbeat"
  /** No window without as many different operators as it takes, who have said so. */
  | "approval"
  /** Whoever may have its key gets it, once it can ask and the server can answer. */
  | "liveness"
  /** The whole log verifies in the end, and the tables say what it says. */
  | "log"
  /** Nothing fails but the disk. */
  | "defect";

export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}
