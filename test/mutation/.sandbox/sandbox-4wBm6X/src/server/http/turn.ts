// @ts-nocheck
import type { Clock } from "../clock.ts";

/**
 * How much of one turn of the event loop strangers' bytes may take before the operators' door has
 * its own.
 */
export class Turn {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #budgetMs: number;
  #deadlineMs: number | null = null;

  constructor(clock: Pick<Clock, "monotonicMs">, budgetMs: number) {
    this.#clock = clock;
    this.#budgetMs = budgetMs;
  }

  /**
   * Whether this turn is used up. It is asked before each piece of work, and the first question of
   * a turn starts its clock.
   */
  isSpent(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (this.#deadlineMs === null) {
      this.#deadlineMs = nowMs + this.#budgetMs;
      setImmediate(() => {
        this.#deadlineMs = null;
      });
      return false;
    }
    return nowMs >= this.#deadlineMs;
  }
}
