/** Whoever keeps bytes of a request that is not complete. */
// @ts-nocheck

interface Keeper {
  /** Gives all of it up at once. */
  cut(): void;
}

/** What a complete request may keep without being counted: there are few of those at a time. */
const UNCOUNTED_BYTES = 4096;

/**
 * The memory that requests take which come in pieces, of all strangers together. Where it is used
 * up, whoever has been at it longest is cut off: an honest client is done in a moment. Requests
 * that are complete and wait for their turn are never cut, and take half of it at most.
 */
export class Budget<K extends Keeper> {
  readonly #limitBytes: number;
  /** Of incomplete requests, in the order in which they began. */
  readonly #kept = new Map<K, number>();
  readonly #pinned = new Map<K, number>();
  #keptBytes = 0;
  #pinnedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get totalBytes(): number {
    return this.#keptBytes + this.#pinnedBytes;
  }

  /** Notes what an incomplete request keeps from now on. It may be cut itself. */
  keep(keeper: K, bytes: number): void {
    this.#keptBytes += bytes - (this.#kept.get(keeper) ?? 0);
    this.#kept.set(keeper, bytes);
    this.#cutDown();
  }

  /** The request is complete. False where too many bytes wait already. */
  pin(keeper: K, bytes: number): boolean {
    this.release(keeper);
    if (bytes <= UNCOUNTED_BYTES) return true;
    if (this.#pinnedBytes + bytes > this.#limitBytes / 2) return false;
    this.#pinned.set(keeper, bytes);
    this.#pinnedBytes += bytes;
    this.#cutDown();
    return true;
  }

  #cutDown(): void {
    while (this.totalBytes > this.#limitBytes) {
      const [oldest] = this.#kept.keys();
      if (oldest === undefined) return;
      this.release(oldest);
      oldest.cut();
    }
  }

  /** It keeps nothing any more. */
  release(keeper: K): void {
    const [kept, pinned] = [this.#kept.get(keeper), this.#pinned.get(keeper)];
    if (kept !== undefined && this.#kept.delete(keeper)) this.#keptBytes -= kept;
    if (pinned !== undefined && this.#pinned.delete(keeper)) this.#pinnedBytes -= pinned;
  }
}
