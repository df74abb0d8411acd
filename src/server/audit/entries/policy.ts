import type { Policy } from "../../policy/lease.ts";
import type { TermsSource } from "../../policy/terms.ts";
import type { Dated } from "./dated.ts";

/** What must hold for a release. */
interface LoggedTerms {
  readonly policy: Policy;
  /** Of `approval`: so many operators must approve. */
  readonly of?: number;
  /**
   * Of `approval`: how long a request waits for them; of `alive`: for how long the machine may be
   * silent. Milliseconds.
   */
  readonly timeout?: number;
  /** What bounds releases under any policy, as limitsText puts it; absent where nothing does. */
  readonly limits?: string;
}

/** An operator changed what must hold for a machine to be released. A lease that it had is void. */
export interface PolicyEntry extends Dated, Partial<LoggedTerms> {
  readonly kind: "machine-policy";
  readonly machine: string;
  readonly name: string;
  readonly policy: Policy;
  /** Of whom it was said; absent in entries of older versions. */
  readonly source?: TermsSource;
  readonly by: number;
}

/** An operator made a group, or removed one that had no machines. */
export interface GroupEntry extends Dated {
  readonly kind: "group-add" | "group-remove";
  readonly group: string;
  readonly by: number;
}

/**
 * An operator changed what must hold for the machines of a group, but for those of which something
 * was said by themselves; of the group `default`, for those that enrol from now on. Without a
 * policy nothing is said of it any more.
 */
export interface GroupPolicyEntry extends Dated, Partial<LoggedTerms> {
  readonly kind: "group-policy";
  readonly group: string;
  readonly by: number;
}

/** An operator put a machine into a group, out of the one that it was in, or into none. */
export interface MemberEntry extends Dated {
  readonly kind: "group-join" | "group-leave";
  readonly machine: string;
  /** The machine's. */
  readonly name: string;
  readonly group: string;
  readonly by: number;
}
