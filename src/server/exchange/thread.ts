import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ownFile } from "../../system/own-program.ts";
import { type Clock, once } from "../clock.ts";
import type { ExchangeThread, OpenExchangeThread } from "./port.ts";

/** What multiplies needs next to no heap. In megabytes. */
const LIMITS = { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 };

/** Far longer than as many take as may be under way. */
const PATIENCE_MS = 10_000;

type Sleep = Pick<Clock, "sleep">;

/** How a thread is opened; null where it would have to share this one's processor. */
export function chooseExchangeThread(clock: Sleep): OpenExchangeThread | null {
  return availableParallelism() > 1 ? () => openExchangeThread(clock) : null;
}

/** Starts src/exchange-main.ts as a thread. Null where it does not start. */
async function openExchangeThread(clock: Sleep): Promise<ExchangeThread | null> {
  const worker = new Worker(ownFile("exchange"), { name: "exchange", env: {}, resourceLimits: LIMITS });
  const thread = new WorkerThread(worker, clock);
  const hasStarted = await thread.started;
  worker.unref(); // what runs for as long as the server must not keep the process
  return hasStarted ? thread : null;
}

interface Asked {
  readonly resolve: (memory: ArrayBuffer) => void;
  readonly reject: (error: Error) => void;
}

class WorkerThread implements ExchangeThread {
  readonly #worker: Worker;
  readonly #clock: Sleep;
  /** It answers in the order in which it is asked. */
  readonly #asked: Asked[] = [];
  #hasEnded = false;
  /** False where it has ended before it began. */
  readonly started: Promise<boolean>;

  constructor(worker: Worker, clock: Sleep) {
    this.#worker = worker;
    this.#clock = clock;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.started = promise;
    worker.on("message", (message: ArrayBuffer | "started") => {
      if (message === "started") resolve(true);
      else this.#asked.shift()?.resolve(message);
    });
    worker.on("error", () => {}); // `exit` follows
    worker.on("exit", () => {
      this.#hasEnded = true;
      resolve(false);
      for (const { reject } of this.#asked.splice(0)) reject(ended());
    });
  }

  /** Operators wait for what is under way: a thread that does not answer is ended. */
  async multiplyAll(memory: ArrayBuffer): Promise<ArrayBuffer> {
    if (this.#hasEnded) throw ended();
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
    this.#asked.push({ resolve, reject });
    this.#worker.postMessage(memory, [memory]);
    using _ = once(this.#clock, PATIENCE_MS, () => void this.#worker.terminate());
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

function ended(): Error {
  return new Error("the thread that multiplies has ended");
}
