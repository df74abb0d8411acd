import { FollowingMap, Memory } from "../../memory.ts";
import { isRested, type Pace, RESTED } from "../../policy/pace.ts";

/**
 * The pace of every latch that was released of late, and of every machine that announced a lease,
 * by their ids. It is in memory alone, so a restart forgives,
 * and it follows the transactions.
 */
export class Paces {
  readonly #paces: Map<string, Pace>;

  constructor(memory = new Memory()) {
    this.#paces = new FollowingMap(memory);
  }

  /** The pace of a latch: RESTED where it was not released of late. */
  of(latchId: string): Pace {
    return this.#paces.get(latchId) ?? RESTED;
  }

  /** Sets the pace of a latch. */
  set(latchId: string, pace: Pace): void {
    this.#paces.set(latchId, pace);
  }

  /** Forgets the paces that have come to rest. */
  sweep(nowMs: number): void {
    for (const [latchId, pace] of this.#paces) if (isRested(pace, nowMs)) this.#paces.delete(latchId);
  }
}
