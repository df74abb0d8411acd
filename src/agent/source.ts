import type { Limits } from "../core/limits.ts";
import type { Secret } from "../core/secret.ts";

/** One way to a volume's key: a binding in its header, or a command of the user's. */
export interface KeySource {
  /** For the log: where the key is asked for. */
  readonly name: string;
  /** One attempt, which ends by itself. @throws NightlatchError */
  attempt(limits: Required<Limits>): Promise<Secret>;
  /** Whether the same attempt, made later, may end otherwise by itself. */
  isWorthRetrying(error: unknown): boolean;
}
