import { FollowingMap, Memory } from "../memory.ts";
import { isRested, type Pace, RESTED } from "../policy/pace.ts";

/**
 * The pace of every latch that was released of late, in memory: a restart forgives. Follows the
 * transactions.
 */
export class Paces {
  readonly #paces: Map<string, Pace>;

  constructor(memory = new Memory()) {
    this.#paces = new FollowingMap(memory);
  }

  of(latchId: string): Pace {
    return this.#paces.get(latchId) ?? RESTED;
  }

  set(latchId: string, pace: Pace): void {
    this.#paces.set(latchId, pace);
  }

  /** Forgets those that have come to rest. */
  sweep(nowMs: number): void {
    for (const [latchId, pace] of this.#paces) if (isRested(pace, nowMs)) this.#paces.delete(latchId);
  }
}
