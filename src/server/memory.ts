/**
 * Makes what the server keeps in memory alone (counts, paces) follow the store. Such a thing
 * changes while a transaction is under way. The change holds once the transaction is on the disk,
 * and is undone where it is not. So an operation may be run again, and nothing is remembered that
 * was rolled back.
 */
export class Memory {
  /** What undoes the changes so far, oldest first; null outside of a transaction. */
  #undo: (() => void)[] | null = null;
  #transactions = 0;

  /** Is told of every change. Outside of a transaction a change holds at once. */
  changed(undo: () => void): void {
    this.#undo?.push(undo);
  }

  /** Which transaction is under way; null outside of one. */
  get transaction(): number | null {
    return this.#undo === null ? null : this.#transactions;
  }

  /** A transaction begins. */
  begin(): void {
    this.#undo = [];
    this.#transactions++;
  }

  /** The transaction is on the disk, and its changes hold. */
  keep(): void {
    this.#undo = null;
  }

  /** The transaction has failed, and its changes are undone, the last one first. */
  undo(): void {
    const steps = this.#undo ?? [];
    this.#undo = null; // what is put back now is no change of any transaction
    for (const step of steps.reverse()) step();
  }
}

/** A map whose changes follow a memory. Its values must not be changed in place. */
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

/**
 * The same where the order of the keys is told to somebody. What is put back stands where it stood.
 * The first that is taken out in a transaction costs a look at all keys.
 */
export class FollowingList<K, V> extends FollowingMap<K, V> {
  readonly #memory: Memory;
  /** The last transaction for which the order is remembered. */
  #remembered: number | null = null;

  constructor(memory: Memory) {
    super(memory);
    this.#memory = memory;
  }

  override delete(key: K): boolean {
    const { transaction } = this.#memory;
    if (transaction !== null && transaction !== this.#remembered) {
      this.#remembered = transaction;
      const order = [...this.keys()];
      this.#memory.changed(() => this.#putInOrder(order)); // all that came after is undone by then
    }
    return super.delete(key);
  }

  #putInOrder(order: readonly K[]): void {
    for (const key of order) {
      const value = this.get(key);
      if (value === undefined) continue;
      Map.prototype.delete.call(this, key);
      Map.prototype.set.call(this, key, value);
    }
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
