// @ts-nocheck
import type { AttemptLimits } from "../core/limits.ts";
import type { Secret } from "../core/secret.ts";

/** One way to a volume's key: a binding in its header, or a command of the user's. */
export interface KeySource {
  /** Says in the log where the key is asked for. */
  readonly name: string;
  /**
   * Makes one attempt, which ends by itself. The caller wipes the secret.
   * @throws NightlatchError
   */
  attempt(limits: Required<AttemptLimits>): Promise<Secret>;
  /** Tells whether the same attempt, made later, may end otherwise by itself. */
  isWorthRetrying(error: unknown): boolean;
}
