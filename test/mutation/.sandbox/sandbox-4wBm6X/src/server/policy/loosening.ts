// @ts-nocheck
import type { Policy } from "./lease.ts";

/** What holds for a machine, as far as it is said how much is released by it. */
interface Held {
  readonly policy: Policy;
  /** Under `alive`, for how long it may be silent; else null. */
  readonly timeoutMs: number | null;
}

/**
 * Whether a change of policy has a machine released where it was not before. `lease` releases
 * within a window alone, `alive` for as long as the machine is heard.
 */
export function loosens(from: Held, to: Held): boolean {
  if (from.policy === to.policy) return (to.timeoutMs ?? 0) > (from.timeoutMs ?? 0);
  return to.policy === "always" || (to.policy === "alive" && from.policy !== "always");
}
