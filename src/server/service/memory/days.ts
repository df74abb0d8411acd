import { FollowingMap, Memory } from "../../memory.ts";
import type { Day } from "../../policy/limits.ts";

/**
 * The counted releases of latches that the store has in the log alone, by the latch: the table of
 * them is written afterwards. It follows the transactions.
 */
export class Days {
  readonly #days: Map<string, Day>;
  #isWhole = false;

  constructor(memory = new Memory()) {
    this.#days = new FollowingMap(memory);
  }

  /** All that the log had counted beyond the table when the server started was set. */
  complete(): void {
    this.#isWhole = true;
  }

  /**
   * What was counted last; null where the table has it. Nobody may be released before `complete`.
   */
  of(latchId: string): Day | null {
    if (!this.#isWhole) throw new Error("releases are counted before it is known what was counted");
    return this.#days.get(latchId) ?? null;
  }

  /** Counts. The receipt that says so must be in the same transaction. */
  set(latchId: string, day: Day): void {
    this.#days.set(latchId, day);
  }

  /** The table has it from now on. */
  forget(latchId: string): void {
    this.#days.delete(latchId);
  }

  /** The latches that the table does not have, in its order. Null before `complete`. */
  unsaved(): string[] | null {
    return this.#isWhole ? [...this.#days.keys()].sort() : null;
  }
}
