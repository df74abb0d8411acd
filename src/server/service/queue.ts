import { type ErrorCode, isError, type NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import { appendEntries, type LogSigner } from "../audit/log.ts";
import { type Clock, nextTurn } from "../clock.ts";
import type { Store, Transaction } from "../store/port.ts";

/** What an operation found and did, and what the audit log says of it. */
export interface Recorded<T> {
  readonly outcome: T;
  readonly entries: readonly Entry[];
  /** Set where the store was written without an entry. */
  readonly wrote?: true;
}

/** What goes on between an outcome and its answer. */
interface Answering {
  /** Resolves once what is under way has been answered. Null where nothing is. */
  settled(): Promise<unknown> | null;
  /** Resolves once there is room for more to be under way. Null where there is now. */
  room(): Promise<unknown> | null;
}

/** One request's work inside a transaction. */
export type Operation<T> = (transaction: Transaction) => Promise<Recorded<T>>;

interface Waiting {
  readonly run: Operation<unknown>;
  /** It releases or refuses, and stops nothing. */
  readonly isRelease: boolean;
  outcome: unknown;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * As many operations share a commit's fsync at most, so that the event loop is not kept for longer
 * than a disk would keep it.
 */
const BATCH = 128;
/**
 * The longest that a commit waits for what arrives meanwhile. Strangers must not put it off by
 * connecting without end.
 */
const GATHER_MS = 2;

/**
 * Commits in groups. What arrives in one turn of the event loop shares one transaction, one signed
 * checkpoint and one fsync. Outcomes are told in the order of the commit, after it. Those of a
 * commit that does anything but release are told once all that was released before is answered. So
 * a release leaves before the answer to anything committed later that may have stopped it.
 */
export class CommitQueue {
  readonly #store: Pick<Store, "transact">;
  readonly #signer: LogSigner;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #answers: Answering;
  readonly #gatherMs: number;
  #waiting: Waiting[] = [];
  #first: Waiting[] = [];
  #running: Promise<void> | null = null;
  #failure: ErrorCode | null = null;
  /** Counts what arrives; whether anything did in a turn is all that matters. */
  #arrivals = 0;

  /**
   * @param answers what becomes of outcomes that were told
   * @param gatherMs the longest that a commit waits for what arrives meanwhile
   */
  constructor(
    store: Pick<Store, "transact">,
    signer: LogSigner,
    clock: Pick<Clock, "monotonicMs">,
    answers: Answering,
    gatherMs = GATHER_MS,
  ) {
    this.#clock = clock;
    this.#store = store;
    this.#signer = signer;
    this.#answers = answers;
    this.#gatherMs = gatherMs;
  }

  /**
   * Runs an operation, and tells its outcome once it is durable. The operation may run twice: what
   * it keeps outside of the transaction must follow that (memory.ts).
   * @throws what it throws, store/*
   */
  submit<T>(operation: Operation<T>): Promise<T> {
    return this.#enqueue(operation, this.#waiting, false);
  }

  /**
   * Runs a request for a release. It stops nothing, so it waits for no answer.
   * @throws what it throws, store/*
   */
  submitRelease<T>(operation: Operation<T>): Promise<T> {
    return this.#enqueue(operation, this.#waiting, true);
  }

  /**
   * Runs an operator's operation: before all that wait, in the order in which operators ask, and in
   * a commit of its own.
   * @throws what it throws, store/*
   */
  submitFirst<T>(operation: Operation<T>): Promise<T> {
    return this.#enqueue(operation, this.#first, false);
  }

  #enqueue<T>(operation: Operation<T>, line: Waiting[], isRelease: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      line.push({
        run: operation,
        isRelease,
        outcome: undefined,
        resolve: resolve as (outcome: unknown) => void,
        reject,
      });
      this.#arrivals++;
      this.#running ??= this.#drain();
    });
  }

  /**
   * A connection was accepted. An operation may follow, and a commit that is about to begin should
   * wait for it.
   */
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
   * Waits while each turn of the event loop brings something new, because a turn accepts no more
   * than one connection. With a connection for each request, as curl makes them, every commit would
   * be of one.
   */
  async #gather(): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + this.#gatherMs;
    while (this.#first.length === 0) {
      const before = this.#arrivals;
      await nextTurn();
      if (this.#arrivals === before || this.#waiting.length >= BATCH || this.#clock.monotonicMs() >= deadlineMs) return;
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
      // One that fails must not take the others with it. What is wrong with the disk is so for all
      // of them.
      if (batch.length > 1 && !isPassing(error)) {
        for (const waiting of batch) await this.#commit([waiting]);
        return;
      }
      if (isPassing(error)) this.#failure = error.code;
      for (const waiting of batch) waiting.reject(error);
      return;
    }
    const areReleases = batch.every(({ isRelease }) => isRelease);
    await (areReleases ? this.#answers.room() : this.#answers.settled());
    if (hasWritten) this.#failure = null; // reading works on a full disk too
    for (const waiting of batch) waiting.resolve(waiting.outcome);
  }
}

const PASSING = ["store/full", "store/io", "store/busy", "store/closed"] as const;

/**
 * Whether the store cannot be written now, but may be later without anybody's doing, other than to
 * the disk.
 */
export function isPassing(error: unknown): error is NightlatchError {
  return PASSING.some((code) => isError(error, code));
}
