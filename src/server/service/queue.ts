import { type ErrorCode, isError, type NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import { appendEntries, type LogSigner } from "../audit/log.ts";
import type { Store, Transaction } from "../store/port.ts";

/** What an operation found and did, and what the audit log says of it. */
export interface Recorded<T> {
  readonly outcome: T;
  readonly entries: readonly Entry[];
  /** Set where the store was written without an entry. */
  readonly wrote?: true;
}

export type Operation<T> = (transaction: Transaction) => Promise<Recorded<T>>;

interface Waiting {
  readonly run: Operation<unknown>;
  outcome: unknown;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A commit's fsync is shared by as many as this, so that the event loop is not kept for longer than a disk would. */
const BATCH = 128;
/** Strangers must not put a commit off by connecting without end. */
const GATHER_MS = 2;

/**
 * Group commit. What arrives in one turn of the event loop shares one transaction, one signed checkpoint and one fsync; outcomes
 * are told in the order of the commit, after it, and before the next batch begins. So an answer that leaves as soon as its
 * outcome is told leaves before that of anything committed later.
 */
export class CommitQueue {
  readonly #store: Pick<Store, "transact">;
  readonly #signer: LogSigner;
  readonly #gatherMs: number;
  #waiting: Waiting[] = [];
  #first: Waiting[] = [];
  #running: Promise<void> | null = null;
  #failure: ErrorCode | null = null;
  /** Counts what arrives; whether anything did in a turn is all that matters. */
  #arrivals = 0;

  /** @param gatherMs the longest that a commit waits for what arrives meanwhile */
  constructor(store: Pick<Store, "transact">, signer: LogSigner, gatherMs = GATHER_MS) {
    this.#store = store;
    this.#signer = signer;
    this.#gatherMs = gatherMs;
  }

  /**
   * The operation may run twice. What it keeps outside of the transaction must follow that
   * (memory.ts).
   * @throws what it throws, store/*
   */
  submit<T>(operation: Operation<T>): Promise<T> {
    return this.#enqueue(operation, this.#waiting);
  }

  /** An operator's: before all that wait, in the order in which operators ask, and in a commit of its own. */
  submitFirst<T>(operation: Operation<T>): Promise<T> {
    return this.#enqueue(operation, this.#first);
  }

  #enqueue<T>(operation: Operation<T>, line: Waiting[]): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      line.push({
        run: operation,
        outcome: undefined,
        resolve: resolve as (outcome: unknown) => void,
        reject,
      });
      this.#arrivals++;
      this.#running ??= this.#drain();
    });
  }

  /** A connection was accepted: an operation may follow, and a commit that is about to begin should wait for it. */
  expect(): void {
    this.#arrivals++;
  }

  /** Why the last commit failed; null where it did not. */
  get failure(): ErrorCode | null {
    return this.#failure;
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #drain(): Promise<void> {
    while (this.#first.length + this.#waiting.length > 0) {
      await this.#gather();
      const first = this.#first.shift();
      await this.#commit(first === undefined ? this.#waiting.splice(0, BATCH) : [first]);
      await nextTurn();
    }
    this.#running = null;
  }

  /**
   * Waits while each turn of the event loop brings something new, for it accepts no more than one connection in a turn: with a
   * connection for each request, as curl makes them, every commit would be of one.
   */
  async #gather(): Promise<void> {
    const deadlineMs = performance.now() + this.#gatherMs;
    while (this.#first.length === 0) {
      const before = this.#arrivals;
      await nextTurn();
      if (this.#arrivals === before || this.#waiting.length >= BATCH || performance.now() >= deadlineMs) return;
    }
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    let hasWritten = false;
    try {
      await this.#store.transact(async (transaction) => {
        // A set: an entry that stands for several operations is written once.
        const entries = new Set<Entry>();
        for (const waiting of batch) {
          const recorded = await waiting.run(transaction);
          waiting.outcome = recorded.outcome;
          for (const entry of recorded.entries) entries.add(entry);
          hasWritten ||= recorded.wrote === true || recorded.entries.length > 0;
        }
        await appendEntries(transaction, [...entries], this.#signer);
      });
    } catch (error) {
      // One that fails must not take the others with it; what is wrong with the disk is so for all of them.
      if (batch.length > 1 && !isPassing(error)) {
        for (const waiting of batch) await this.#commit([waiting]);
        return;
      }
      if (isPassing(error)) this.#failure = error.code;
      for (const waiting of batch) waiting.reject(error);
      return;
    }
    if (hasWritten) this.#failure = null; // reading works on a full disk too
    for (const waiting of batch) waiting.resolve(waiting.outcome);
  }
}

/** After the input that is there now was read, so that what arrived together is committed together. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The store cannot be written now; it may be later, without anybody's doing but to the disk. */
export function isPassing(error: unknown): error is NightlatchError {
  return isError(error, "store/full") || isError(error, "store/io") || isError(error, "store/busy");
}
