import { readCheckpoints, readEntries, takeSnapshot } from "./audit-source.ts";
import type { AuditReads, Store, Transaction } from "./port.ts";
import type { Sqlite } from "./sqlite.ts";
import { SqliteTransaction } from "./transaction.ts";

/** The store of one server, in a SQLite file of its own. */
export class EmbeddedStore implements Store {
  readonly #sqlite: Sqlite;
  readonly #transaction: SqliteTransaction;
  readonly #lock: AsyncDisposable;
  #last: Promise<unknown> = Promise.resolve();
  readonly audit: AuditReads;

  /** `lock` is that of the folder, given up when the store is closed. */
  constructor(sqlite: Sqlite, storeId: string, lock: AsyncDisposable) {
    this.#sqlite = sqlite;
    this.#transaction = new SqliteTransaction(sqlite, storeId);
    this.#lock = lock;
    this.audit = {
      snapshot: () => this.#alone(() => takeSnapshot(sqlite)),
      entries: (from) => this.#alone(() => readEntries(sqlite, from)),
      checkpoints: (after) => this.#alone(() => readCheckpoints(sqlite, storeId, after)),
    };
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#alone(() => this.#run(work));
  }

  /** One after the other: a transaction that waits for something is not interrupted by another. */
  #alone<T>(work: () => T | Promise<T>): Promise<T> {
    const outcome = this.#last.then(work);
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  async #run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    this.#sqlite.begin();
    try {
      const result = await work(this.#transaction);
      this.#sqlite.commit();
      return result;
    } catch (error) {
      this.#sqlite.rollback();
      throw error;
    }
  }

  scrub(): Promise<boolean> {
    return this.#alone(() => this.#sqlite.truncateWal());
  }

  async close(): Promise<void> {
    await this.#alone(() => this.#sqlite.close());
    await this.#lock[Symbol.asyncDispose]();
  }
}
