import { chooseExchange } from "../../../src/server/exchange/choose.ts";
import { jobsIn } from "../../../src/server/exchange/jobs.ts";
import type { ExchangeThread } from "../../../src/server/exchange/port.ts";

const exchange = chooseExchange();

/** A thread that answers when it is told to. */
export class HeldThread implements ExchangeThread {
  readonly asked: ArrayBuffer[] = [];
  readonly #going: PromiseWithResolvers<void>[] = [];
  hasEnded = false;

  async multiplyAll(memory: ArrayBuffer): Promise<ArrayBuffer> {
    this.asked.push(memory);
    const going = Promise.withResolvers<void>();
    this.#going.push(going);
    await going.promise;
    for (const { scalar, point } of jobsIn(memory)) exchange.multiply(scalar, point).copy(point);
    return memory;
  }

  /** Lets the first that waits be answered. */
  goOn(): void {
    this.#going.shift()?.resolve();
  }

  fail(): void {
    this.#going.shift()?.reject(new Error("ended"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hasEnded = true;
  }
}
