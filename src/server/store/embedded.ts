import type { Store, Transaction } from "./port.ts";
import type { Sqlite } from "./sqlite.ts";
import { SqliteTransaction } from "./transaction.ts";

/** The store of one server, in a SQLite file of its own. */
export class EmbeddedStore implements Store {
  readonly #sqlite: Sqlite;
  readonly #transaction: SqliteTransaction;
  readonly #release: () => void;
  #last: Promise<unknown> = Promise.resolve();

  /** `release` gives up the lock on the folder, once closed. */
  constructor(sqlite: Sqlite, storeId: string, release: () => void) {
    this.#sqlite = sqlite;
    this.#transaction = new SqliteTransaction(sqlite, storeId);
    this.#release = release;
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const outcome = this.#last.then(() => this.#run(work));
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
    const outcome = this.#last.then(() => this.#sqlite.truncateWal());
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  close(): void {
    this.#sqlite.close();
    this.#release();
  }
}
