import { FollowingMap, Memory } from "../../memory.ts";

/** How often a request was asked for, and when last. */
interface Asked {
  readonly count: number;
  readonly lastMs: number;
}

/**
 * Whether those whose requests wait for operators still ask: by the requests' ids. It is in memory
 * alone, since nobody's asking again is worth a write, and it follows the transactions.
 */
export class Asks {
  readonly #asked: Map<string, Asked>;

  constructor(memory = new Memory()) {
    this.#asked = new FollowingMap(memory);
  }

  /** Notes that a request was asked for. */
  note(requestId: string, nowMs: number): void {
    this.#asked.set(requestId, { count: (this.#asked.get(requestId)?.count ?? 0) + 1, lastMs: nowMs });
  }

  /** How often it was asked for since the server started; null where it was not. */
  of(requestId: string): Asked | null {
    return this.#asked.get(requestId) ?? null;
  }

  /** Forgets those that are in no list of requests. */
  keep(requestIds: ReadonlySet<string>): void {
    for (const id of this.#asked.keys()) if (!requestIds.has(id)) this.#asked.delete(id);
  }
}
