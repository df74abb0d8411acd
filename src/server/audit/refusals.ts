import { FollowingList, Memory } from "../memory.ts";
import type { RefusalEntry, RepeatEntry } from "./entries/release.ts";

/** What a refusal is counted under. */
interface Refusal {
  readonly reason: string;
  /** An id that the server itself gave out, never text of the peer's. */
  readonly subject?: string;
}

interface Count {
  readonly refusal: Refusal;
  readonly sinceMs: number;
  readonly repeats: number;
}

/** How long refusals are counted before they become an entry. */
const WINDOW_MS = 3_600_000;
/** How many subjects are told apart in one window. */
const MAX_SUBJECTS = 1000;

/**
 * Counts refusals. They cost whoever asks nothing, so they must not fill the disk. The first of a
 * reason and subject is an entry at once; the others of the hour are counted and become one entry
 * at its end. Past MAX_SUBJECTS only the reason is told. There are at most two entries an hour for
 * each subject and reason, whatever comes.
 *
 * Only operations use it, and it follows their transaction: an entry that was not written is given
 * again.
 */
export class RefusalTally {
  readonly #counts: Map<string, Count>;

  constructor(memory = new Memory()) {
    this.#counts = new FollowingList(memory);
  }

  /**
   * Counts a refusal.
   * @param machine whose identity it was, where that is not the subject; told with the first alone
   * @returns the entry to write; null where the refusal was only counted
   */
  count(refusal: Refusal, from: string, nowMs: number, machine?: string): RefusalEntry | null {
    const counted = this.#counts.size < MAX_SUBJECTS || this.#counts.has(keyOf(refusal)) ? refusal : anonymous(refusal);
    const key = keyOf(counted);
    const count = this.#counts.get(key);
    if (count !== undefined) {
      this.#counts.set(key, { ...count, repeats: count.repeats + 1 });
      return null;
    }
    this.#counts.set(key, { refusal: counted, sinceMs: nowMs, repeats: 0 });
    return { kind: "refusal", at: nowMs, ...counted, ...(machine === undefined ? {} : { machine }), from };
  }

  /**
   * Ends the windows that are over, or all of them, and gives an entry for each that counted
   * anything.
   */
  close(nowMs: number, all = false): RepeatEntry[] {
    const entries: RepeatEntry[] = [];
    for (const [key, { refusal, sinceMs, repeats }] of this.#counts) {
      // A clock that was set back ends the window too. It would last until it has caught up.
      if (!all && nowMs - sinceMs < WINDOW_MS && nowMs >= sinceMs) continue;
      this.#counts.delete(key);
      if (repeats > 0) entries.push({ kind: "refusals", at: nowMs, ...refusal, count: repeats, since: sinceMs });
    }
    return entries;
  }
}

function anonymous({ reason }: Refusal): Refusal {
  return { reason };
}

function keyOf({ reason, subject }: Refusal): string {
  return `${reason} ${subject ?? ""}`;
}
