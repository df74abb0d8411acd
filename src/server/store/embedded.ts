import { isError } from "../../core/errors.ts";
import { rootOf } from "../audit/merkle.ts";
import { readCheckpoints, readEntries, takeSnapshot } from "./audit-source.ts";
import type { Ballast } from "./ballast.ts";
import type { AuditReads, Store, Transaction } from "./port.ts";
import type { Reached } from "./record.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";
import { SqliteTransaction } from "./transaction.ts";

/** The store of one server, in a SQLite file of its own. */
export class EmbeddedStore implements Store {
  readonly #sqlite: Sqlite;
  readonly #transaction: SqliteTransaction;
  readonly #lock: AsyncDisposable;
  readonly #note: (reached: Reached) => Promise<void>;
  readonly #ballast: Ballast;
  #last: Promise<unknown> = Promise.resolve();
  #witnessing: Promise<void> = Promise.resolve();
  #noted: Reached | null;
  #needsScrub = false;
  readonly audit: AuditReads;

  /**
   * @param around.lock that of the folder, given up when the store is closed
   * @param around.noted what the record says
   * @param around.note writes the record
   * @param around.ballast lies beside the file
   */
  constructor(
    sqlite: Sqlite,
    storeId: string,
    around: {
      readonly lock: AsyncDisposable;
      readonly noted: Reached | null;
      readonly note: (reached: Reached) => Promise<void>;
      readonly ballast: Ballast;
    },
  ) {
    const { lock, noted, note, ballast } = around;
    this.#ballast = ballast;
    this.#sqlite = sqlite;
    this.#noted = noted;
    this.#note = note;
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
    return this.#alone(() => {
      // Where there is no room for the one, the other still takes the keys out of the pages that held them.
      const isRewritten = this.#sqlite.rewrite();
      const done = this.#sqlite.truncateWal() && isRewritten && this.#settleScrub();
      this.#needsScrub = !done;
      return done;
    });
  }

  /** After a start: what is owed since keys were destroyed, however that start came about; writing every page anew takes its time. */
  async scrubIfOwed(): Promise<void> {
    const row = await this.#alone(() => this.#sqlite.first(query.selectFrom("scrub").select("owed")));
    if (row?.owed === 0) await this.#alone(() => this.#sqlite.truncateWal());
    else await this.scrub();
  }

  /** Only once every page and the WAL are clean: cut off before, the next start does it all again. False on a full disk. */
  #settleScrub(): boolean {
    try {
      this.#sqlite.run(query.updateTable("scrub").set({ owed: 0 }).where("owed", "=", 1));
      return true;
    } catch (error) {
      if (isError(error, "store/full") || isError(error, "store/busy")) return false;
      throw error;
    }
  }

  get needsScrub(): boolean {
    return this.#needsScrub;
  }

  /** One after the other, each of what is committed by then: the record never goes back, nor ahead of the store. */
  witness(): Promise<void> {
    const outcome = this.#witnessing.then(async () => {
      const edge = await this.transact((transaction) => transaction.tree());
      const reached: Reached = { size: edge.size, root: rootOf(edge) };
      if (this.#noted?.size === reached.size && this.#noted.root.equals(reached.root)) return;
      await this.#note(reached);
      this.#noted = reached;
    });
    this.#witnessing = outcome.catch(() => {});
    return outcome;
  }

  makeRoom(): Promise<boolean> {
    return this.#alone(() => this.#ballast.giveUp());
  }

  holdRoom(): Promise<void> {
    return this.#alone(() => this.#ballast.hold());
  }

  async close(): Promise<void> {
    await this.witness().catch(() => {}); // the record stays behind, which the next start bears
    await this.#alone(() => this.#sqlite.close());
    await this.#lock[Symbol.asyncDispose]();
  }
}
