// @ts-nocheck
import type { Policy } from "./lease.ts";
import { areTighter, readLimits } from "./limits.ts";
import { loosens } from "./loosening.ts";
import type { Approval } from "./request.ts";

/** What must hold for a machine to be released, whole: a policy, what it asks for, and limits. */
export interface Terms {
  readonly policy: Policy;
  /** What the policy `approval` asks for; null under any other. */
  readonly approval: Approval | null;
  /** Under `alive`, for how long it may be silent; null under any other. */
  readonly timeoutMs: number | null;
  /** What bounds its releases under any policy, as limitsText puts it; null where nothing does. */
  readonly limits: string | null;
}

/** The group that new machines' terms are said of. No machine is in it. */
export const DEFAULT_GROUP = "default";

/** Of whom a machine's terms were said: of itself, of its group, or of every new machine. */
export type TermsSource = "machine" | "group" | "default";

/** What was said; null where nothing was. Of new machines there is always something. */
interface Said {
  readonly machine: Terms | null;
  readonly group: Terms | null;
  readonly byDefault: Terms;
}

/** Finds what holds for a machine: its own terms, else its group's, else those of new machines. */
export function resolveTerms({ machine, group, byDefault }: Said): {
  readonly terms: Terms;
  readonly source: TermsSource;
} {
  if (machine !== null) return { terms: machine, source: "machine" };
  return group === null ? { terms: byDefault, source: "default" } : { terms: group, source: "group" };
}

/** Whether two are the same. */
export function areSameTerms(one: Terms, other: Terms): boolean {
  return (
    one.policy === other.policy &&
    one.approval?.of === other.approval?.of &&
    one.approval?.timeoutMs === other.approval?.timeoutMs &&
    one.timeoutMs === other.timeoutMs &&
    one.limits === other.limits
  );
}

/** Why terms would release more than those of before; null where they do not. */
export function loosening(from: Terms, to: Terms): "limits" | "operators" | "policy" | null {
  if (!areTighter(readLimits(to.limits), readLimits(from.limits))) return "limits";
  if ((to.approval?.of ?? 0) < (from.approval?.of ?? 0)) return "operators";
  return loosens(from, to) ? "policy" : null;
}
