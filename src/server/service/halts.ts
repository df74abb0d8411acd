/** What an operator's request is about. */
export interface Halted {
  readonly machine: string;
  /** Null: every latch of the machine. */
  readonly latch: string | null;
}

/**
 * Machines and latches that an operator is locking or revoking now. From the moment in which the
 * request was taken nothing of theirs is released, also where a receipt is durable already; the
 * store says the same as soon as the change is.
 */
export class Halts {
  readonly #halted = new Set<Halted>();

  /** Until the change is durable, or has failed. */
  place(halted: Halted): Disposable {
    const own = { ...halted };
    this.#halted.add(own);
    return { [Symbol.dispose]: () => void this.#halted.delete(own) };
  }

  includes(machineId: string, latchId: string): boolean {
    if (this.#halted.size === 0) return false;
    for (const { machine, latch } of this.#halted) {
      if (machine === machineId && (latch === null || latch === latchId)) return true;
    }
    return false;
  }
}
