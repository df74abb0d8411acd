import { isError } from "../../../core/errors.ts";
import { rootOf } from "../../../formats/log/merkle.ts";
import type { Cells } from "../keys/cells.ts";
import { storeClosed } from "../keys/closed.ts";
import type { AuditReads, Store, Transaction } from "../port.ts";
import { readCheckpoints, readCosignatures, readEntries, takeSnapshot } from "../sqlite/audit-source.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { SqliteTransaction } from "../sqlite/transaction.ts";
import type { Ballast } from "./ballast.ts";
import type { Reached } from "./record.ts";

/** What the WAL is cut back to after a reader has made it grow. */
const WAL_BYTES = 16 << 20;

/** The store of one server, in a SQLite file of its own. */
export class EmbeddedStore implements Store {
  readonly #sqlite: Sqlite;
  readonly #transaction: SqliteTransaction;
  readonly #lock: AsyncDisposable;
  readonly #record: (reached: Reached) => Promise<void>;
  readonly #ballast: Ballast;
  readonly #cells: Cells;
  #last: Promise<unknown> = Promise.resolve();
  #recording: Promise<void> = Promise.resolve();
  #recorded: Reached | null;
  #isScrubHeldUp = false;
  #isClosed = false;
  /** What comes later has no store any more: requests may outlive a server that stops. */
  #isShut = false;
  readonly audit: AuditReads;

  /**
   * Takes over all that it is given.
   * @param around.lock the lock of the folder, given up when the store is closed
   * @param around.recorded what the record says, as far as the store is held to it
   * @param around.record writes the record
   * @param around.ballast lies beside the file
   * @param around.cells what the keys in it are wrapped with; emptied and given up here
   */
  constructor(
    sqlite: Sqlite,
    storeId: string,
    around: {
      readonly lock: AsyncDisposable;
      readonly recorded: Reached | null;
      readonly record: (reached: Reached) => Promise<void>;
      readonly ballast: Ballast;
      readonly cells: Cells;
    },
  ) {
    const { lock, recorded, record, ballast, cells } = around;
    this.#ballast = ballast;
    this.#cells = cells;
    this.#sqlite = sqlite;
    this.#recorded = recorded;
    this.#record = record;
    this.#transaction = new SqliteTransaction(sqlite, storeId);
    this.#lock = lock;
    this.audit = {
      snapshot: () => this.#alone(() => takeSnapshot(sqlite)),
      entries: (from) => this.#alone(() => readEntries(sqlite, from)),
      checkpoints: (after) => this.#alone(() => readCheckpoints(sqlite, storeId, after)),
      cosignatures: () => this.#alone(() => readCosignatures(sqlite, storeId)),
    };
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#alone(() => this.#run(work));
  }

  /**
   * Runs one thing after the other: a transaction that waits for something is not interrupted by
   * another.
   */
  #alone<T>(work: () => T | Promise<T>): Promise<T> {
    const outcome = this.#last.then(() => {
      if (this.#isShut) throw storeClosed();
      return work();
    });
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  async #run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    this.#sqlite.begin();
    this.#transaction.begun();
    try {
      this.#transaction.takeDead(); // of one that failed
      const result = await work(this.#transaction);
      this.#sqlite.commit();
      const dead = this.#transaction.takeDead();
      if (dead.length > 0) this.#cells.empty(dead);
      return result;
    } catch (error) {
      this.#sqlite.rollback();
      throw error;
    }
  }

  scrub(): Promise<boolean> {
    return this.#alone(() => {
      const isDestroyed = this.#cells.settle();
      // Where there is no room for the one, the other still takes the keys out of the pages that
      // held them.
      const isRewritten = !this.#isScrubOwed() || this.#sqlite.rewrite();
      const done = this.#sqlite.truncateWal() && isRewritten && isDestroyed && this.#settleScrub();
      this.#isScrubHeldUp = !done;
      return done;
    });
  }

  #isScrubOwed(): boolean {
    return this.#sqlite.first(query.selectFrom("scrub").select("owed"))?.owed !== 0;
  }

  /**
   * Notes that nothing is owed. That is so only once every page and the WAL are clean: where this
   * is cut off before, the next start does it all again. False on a full disk.
   */
  #settleScrub(): boolean {
    if (!this.#isScrubOwed()) return true;
    try {
      this.#sqlite.run(query.updateTable("scrub").set({ owed: 0 }).where("owed", "=", 1));
      return true;
    } catch (error) {
      if (isError(error, "store/full") || isError(error, "store/busy")) return false;
      throw error;
    }
  }

  get needsScrub(): boolean {
    return this.#isScrubHeldUp || this.#cells.owes || this.#sqlite.walBytes > WAL_BYTES;
  }

  get owes(): boolean {
    return this.#cells.owes;
  }

  /**
   * Records one after the other, each time what is committed by then: the record never goes back,
   * nor ahead of the store.
   */
  recordProgress(): Promise<void> {
    const outcome = this.#recording.then(async () => {
      const tree = await this.transact((transaction) => transaction.tree());
      const reached: Reached = { size: tree.size, root: rootOf(tree) };
      if (this.#recorded?.size === reached.size && this.#recorded.root.equals(reached.root)) return;
      await this.#record(reached);
      this.#recorded = reached;
    });
    this.#recording = outcome.catch(() => {});
    return outcome;
  }

  makeRoom(): Promise<boolean> {
    return this.#alone(() => this.#ballast.giveUp());
  }

  holdRoom(): Promise<void> {
    return this.#alone(() => this.#ballast.hold());
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Where it fails the record stays behind, which the next start bears.
    await this.recordProgress().catch(() => {});
    await using _ = this.#lock;
    await this.#alone(() => {
      using _cells = this.#cells;
      try {
        this.#cells.settle();
        this.#sqlite.truncateWal(); // SQLite would remove it as it is
      } catch (error) {
        if (!isError(error)) throw error; // the next start does it
      } finally {
        this.#isShut = true;
        this.#sqlite.close();
      }
    });
  }
}
