import { type ErrorCode, isError, type NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import { appendEntries, type LogSigner } from "../audit/log.ts";
import type { Store, Transaction } from "../store/port.ts";

/** What an operation found and did, and what the audit log says of it. */
export interface Recorded<T> {
  readonly outcome: T;
  readonly entries: readonly Entry[];
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

/**
 * Group commit. What arrives in one turn of the event loop shares one transaction, one signed checkpoint and one fsync; outcomes
 * are told in the order of the commit, after it, and before the next batch begins. So an answer that leaves as soon as its
 * outcome is told leaves before that of anything committed later.
 */
export class CommitQueue {
  readonly #store: Store;
  readonly #signer: LogSigner;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  #failure: ErrorCode | null = null;

  constructor(store: Store, signer: LogSigner) {
    this.#store = store;
    this.#signer = signer;
  }

  /** The operation may run twice: what it keeps outside of the transaction must bear that. @throws what it throws, store/* */
  submit<T>(operation: Operation<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        run: operation,
        outcome: undefined,
        resolve: resolve as (outcome: unknown) => void,
        reject,
      });
      this.#running ??= nextTurn().then(() => this.#drain());
    });
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
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      await this.#commit(batch);
      await nextTurn();
    }
    this.#running = null;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#store.transact(async (transaction) => {
        const entries: Entry[] = [];
        for (const waiting of batch) {
          const recorded = await waiting.run(transaction);
          waiting.outcome = recorded.outcome;
          entries.push(...recorded.entries);
        }
        await appendEntries(transaction, entries, this.#signer);
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
    this.#failure = null;
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
