import type { Secret } from "../../core/secret.ts";
import { nextTurn } from "../clock.ts";
import { jobsIn, makeRoomForJobs } from "./jobs.ts";
import type { Exchange, ExchangeThread, OpenExchangeThread } from "./port.ts";

interface Waiting {
  readonly scalar: Secret;
  readonly point: Buffer;
  readonly resolve: (product: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

/** From so many on, handing them over costs the event loop less than multiplying does. */
const FEWEST = 8;
/** So many batches are with the thread at most, so that it is never waited for long. */
const MOST_UNDER_WAY = 4;

/**
 * Multiplies what one commit has granted: at once, as a rule. Where the event loop has more to do
 * than it can, many go to a thread together, while it goes on to the next commit. The thread is
 * started when it is needed first, and until it runs everything is done here.
 * docs/decisions/149-many-exchanges-on-a-thread.md
 */
export class BatchExchange implements AsyncDisposable {
  readonly #exchange: Exchange;
  readonly #open: OpenExchangeThread | null;
  readonly #fewest: number;
  #isPressed: () => boolean;
  /** `starting` while it is; `none` where it cannot be had, or has failed. */
  #thread: ExchangeThread | "unneeded" | "starting" | "none" = "unneeded";
  #waiting: Waiting[] = [];
  /** Of batches that are with the thread, the first first: that they were told. */
  readonly #underWay: Promise<void>[] = [];

  /** @param open null where there is no other processor that a thread could have */
  constructor(
    exchange: Exchange,
    open: OpenExchangeThread | null,
    { fewest = FEWEST, isPressed = () => false }: { readonly fewest?: number; readonly isPressed?: () => boolean } = {},
  ) {
    this.#exchange = exchange;
    this.#open = open;
    this.#fewest = fewest;
    this.#isPressed = isPressed;
  }

  /** @param isPressed tells whether the event loop has more to do than it can */
  askPressed(isPressed: () => boolean): void {
    this.#isPressed = isPressed;
  }

  get name(): Exchange["name"] {
    return this.#exchange.name;
  }

  /** As Exchange has it. */
  isPoint(point: Buffer): boolean {
    return this.#exchange.isPoint(point);
  }

  /**
   * Gives Y = sX, as Exchange has it. It takes ownership of the scalar, and wipes it.
   * @throws RangeError where X is not a point of the curve, Error where the thread has failed
   */
  multiply(scalar: Secret, point: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      // What a commit has granted is asked for in one go, and so before this.
      if (this.#waiting.push({ scalar, point, resolve, reject }) === 1) queueMicrotask(() => this.#begin());
    });
  }

  /**
   * Resolves once the products that are being made were told, and those who had waited for them
   * have had their turn. Null where none is.
   */
  settled(): Promise<unknown> | null {
    return this.#underWay.length === 0 ? null : Promise.all(this.#underWay);
  }

  /** The same of the oldest of them. Null where there are fewer than may be. */
  room(): Promise<void> | null {
    return (this.#underWay.length < MOST_UNDER_WAY ? null : this.#underWay[0]) ?? null;
  }

  /** Ends the thread. What it was doing is rejected. */
  async [Symbol.asyncDispose](): Promise<void> {
    const thread = this.#thread;
    this.#thread = "none";
    if (typeof thread === "object") await thread[Symbol.asyncDispose]();
  }

  #begin(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const thread = waiting.length >= this.#fewest && this.#isPressed() ? this.#running() : null;
    if (thread === null) {
      for (const one of waiting) this.#multiplyHere(one);
      return;
    }
    const told = this.#multiplyThere(thread, waiting).then(nextTurn); // who waited goes on before
    this.#underWay.push(told);
    void told.then(() => this.#underWay.splice(this.#underWay.indexOf(told), 1));
  }

  #multiplyHere({ scalar, point, resolve, reject }: Waiting): void {
    try {
      resolve(this.#exchange.multiply(scalar.reveal(), point));
    } catch (error) {
      reject(error);
    } finally {
      scalar.wipe();
    }
  }

  async #multiplyThere(thread: ExchangeThread, waiting: readonly Waiting[]): Promise<void> {
    try {
      const jobs = jobsIn(await thread.multiplyAll(packed(waiting)));
      for (const [index, { resolve, reject }] of waiting.entries()) {
        const product = jobs[index]?.point;
        if (product !== undefined && product[0] !== 0) resolve(product);
        else reject(new RangeError("not a point of P-256"));
      }
    } catch (error) {
      this.#thread = "none";
      for (const { scalar, reject } of waiting) {
        scalar.wipe();
        reject(error);
      }
    }
  }

  /** The thread; null where it is none yet, or none at all. */
  #running(): ExchangeThread | null {
    if (typeof this.#thread === "object") return this.#thread;
    if (this.#thread === "unneeded" && this.#open !== null) {
      this.#thread = "starting";
      void this.#start(this.#open);
    }
    return null;
  }

  async #start(open: OpenExchangeThread): Promise<void> {
    const thread = await open().catch(() => null); // the kernel may have no more threads
    if (this.#thread === "starting") this.#thread = thread ?? "none";
    else await thread?.[Symbol.asyncDispose](); // it was closed meanwhile
  }
}

/** Writes jobs into memory that is to be handed over, and wipes what it was given of their keys. */
function packed(waiting: readonly Waiting[]): ArrayBuffer {
  const memory = makeRoomForJobs(waiting.length);
  const jobs = jobsIn(memory);
  for (const [index, { scalar, point }] of waiting.entries()) {
    const job = jobs[index];
    if (job === undefined) continue;
    scalar.reveal().copy(job.scalar);
    scalar.wipe();
    point.copy(job.point);
  }
  return memory;
}
