/** What decides who can change or read a file, as stat(2) has it. */
// @ts-nocheck

interface Ownership {
  readonly uid: number;
  /** Permission bits, 0o7777. */
  readonly mode: number;
}

/** `owner`: it belongs to somebody else. `changed`, `read`: others than the owner may do that. */
export type Flaw = "owner" | "changed" | "read";

const OTHERS_WRITE = 0o022;
const OTHERS_ANYTHING = 0o077;

/**
 * Finds what is wrong with a file that must be its owner's alone; null where nothing is. The
 * group's bits count as anybody's. The key server judges its store by it, the agent what it acts
 * upon, and `nightlatch check` both on their behalf.
 * @param owners whose it may be
 * @param isSecret whether others must not read it either
 */
export function findFlaw(facts: Ownership, owners: readonly number[], isSecret: boolean): Flaw | null {
  if (!owners.includes(facts.uid)) return "owner";
  if ((facts.mode & OTHERS_WRITE) !== 0) return "changed";
  return isSecret && (facts.mode & OTHERS_ANYTHING) !== 0 ? "read" : null;
}
