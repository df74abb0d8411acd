/**
 * Makes what the server keeps in memory alone (counts, paces) follow the store. It changes while a
 * transaction is under way, holds once that is on the disk, and is put back where it is not. So an
 * operation may be run again, and nothing is remembered that was rolled back.
 */
export class Memory {
  /** Null outside of a transaction. */
  #undo: (() => void)[] | null = null;

  /** Called with every change. Outside of a transaction a change holds at once. */
  changed(undo: () => void): void {
    this.#undo?.push(undo);
  }

  begin(): void {
    this.#undo = [];
  }

  keep(): void {
    this.#undo = null;
  }

  undo(): void {
    const steps = this.#undo ?? [];
    this.#undo = null; // what is put back now is no change of any transaction
    for (const step of steps.reverse()) step();
  }
}

/** A map that follows the store. Its values must not be changed in place. */
export class FollowingMap<K, V> extends Map<K, V> {
  readonly #memory: Memory;

  constructor(memory: Memory) {
    super();
    this.#memory = memory;
  }

  override set(key: K, value: V): this {
    this.#remember(key);
    return super.set(key, value);
  }

  override delete(key: K): boolean {
    this.#remember(key);
    return super.delete(key);
  }

  #remember(key: K): void {
    const before = super.get(key);
    this.#memory.changed(before === undefined ? () => super.delete(key) : () => super.set(key, before));
  }
}

/** What runs transactions one after the other; the store does. */
interface Transactions<T> {
  transact<R>(work: (transaction: T) => Promise<R>): Promise<R>;
}

/** Gives the same transactions, each of them followed by the memory. */
export function followedBy<T>(memory: Memory, store: Transactions<T>): Transactions<T> {
  return {
    transact: async (work) => {
      try {
        const result = await store.transact((transaction) => {
          memory.begin(); // here, since transactions wait for each other
          return work(transaction);
        });
        memory.keep();
        return result;
      } catch (error) {
        memory.undo();
        throw error;
      }
    },
  };
}
