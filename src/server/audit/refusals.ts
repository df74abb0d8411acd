import type { RefusalEntry, RepeatEntry } from "./entry.ts";

/** What a refusal is counted under. */
export interface Refusal {
  readonly reason: string;
  /** An id that the server itself gave out; never text of the peer's. */
  readonly subject?: string;
}

interface Count {
  readonly refusal: Refusal;
  readonly sinceMs: number;
  repeats: number;
}

export const WINDOW_MS = 3_600_000;
/** Subjects that are told apart in one window. */
export const MAX_SUBJECTS = 1000;

/**
 * Refusals cost whoever asks nothing, so they must not fill the disk: the first of a reason and subject is an entry at once,
 * the others of the hour are counted and become one entry at its end. Past MAX_SUBJECTS only the reason is told.
 * At most two entries an hour for each subject and reason, whatever comes.
 */
export class RefusalTally {
  readonly #counts = new Map<string, Count>();

  /** The entry to write, or null where it was only counted. */
  note(refusal: Refusal, from: string, nowMs: number): RefusalEntry | null {
    const counted = this.#counts.size < MAX_SUBJECTS || this.#counts.has(keyOf(refusal)) ? refusal : anonymous(refusal);
    const key = keyOf(counted);
    const count = this.#counts.get(key);
    if (count !== undefined) {
      count.repeats++;
      return null;
    }
    this.#counts.set(key, { refusal: counted, sinceMs: nowMs, repeats: 0 });
    return { kind: "refusal", at: nowMs, ...counted, from };
  }

  /** Ends the windows that are over, or all of them, and gives an entry for each that counted anything. */
  close(nowMs: number, all = false): RepeatEntry[] {
    const entries: RepeatEntry[] = [];
    for (const [key, { refusal, sinceMs, repeats }] of this.#counts) {
      // A clock that was set back ends the window too, lest it last until the clock has caught up.
      if (!all && nowMs - sinceMs < WINDOW_MS && nowMs >= sinceMs) continue;
      this.#counts.delete(key);
      if (repeats > 0) entries.push({ kind: "refusals", at: nowMs, ...refusal, count: repeats, since: sinceMs });
    }
    return entries;
  }

  /** Puts back what could not be written. */
  restore(entries: readonly RepeatEntry[]): void {
    for (const { reason, subject, count, since } of entries) {
      const refusal = subject === undefined ? { reason } : { reason, subject };
      const known = this.#counts.get(keyOf(refusal));
      this.#counts.set(keyOf(refusal), { refusal, sinceMs: since, repeats: count + (known?.repeats ?? 0) });
    }
  }
}

function anonymous({ reason }: Refusal): Refusal {
  return { reason };
}

function keyOf({ reason, subject }: Refusal): string {
  return `${reason} ${subject ?? ""}`;
}
