/** What an operator's request stops. */
export interface Halted {
  /** One machine, or several. */
  readonly machine: string | ReadonlySet<string>;
  /** Null where it is every latch of the machine. */
  readonly latch: string | null;
}

/**
 * Machines and latches that an operator is locking or revoking now. From the moment in which the
 * request was taken nothing of theirs is released, also where a receipt is durable already. The
 * store says the same as soon as the change is durable.
 */
export class Halts {
  readonly #halted = new Set<Halted>();

  /**
   * Stops releases until what it gives is disposed of: when the change is durable, or has failed.
   */
  place(halted: Halted): Disposable {
    const own = { ...halted };
    this.#halted.add(own);
    return { [Symbol.dispose]: () => void this.#halted.delete(own) };
  }

  /** Whether releases of this latch are stopped. */
  includes(machineId: string, latchId: string): boolean {
    if (this.#halted.size === 0) return false;
    for (const { machine, latch } of this.#halted) {
      const isMeant = typeof machine === "string" ? machine === machineId : machine.has(machineId);
      if (isMeant && (latch === null || latch === latchId)) return true;
    }
    return false;
  }
}
