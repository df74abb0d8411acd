// @ts-nocheck
import type { IncomingMessage } from "node:http";
import { Gathering } from "../../core/gathering.ts";
import { type Clock, once } from "../clock.ts";

/** A connection whose answer is on its way out. */
interface Leaving {
  /** Ends the connection: what has not left never will. */
  cut(): void;
}

/**
 * Answers on their way out. Once written they belong to the kernel. One that a client does not read
 * may wait in this process, and must not leave after a later revocation was acknowledged.
 */
export class Answers {
  readonly #leaving = new Map<Leaving, PromiseWithResolvers<void>>();
  readonly #clock: Pick<Clock, "sleep">;
  readonly #timeoutMs: number;

  /** @param timeoutMs for how long an answer may stay unread before its connection is cut */
  constructor(clock: Pick<Clock, "sleep">, timeoutMs = 250) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** The kernel has not taken all of this one's answer. */
  add(leaving: Leaving): void {
    this.#leaving.set(leaving, Promise.withResolvers());
  }

  /** The answer has left, or its connection has ended. */
  delete(leaving: Leaving): void {
    this.#leaving.get(leaving)?.resolve();
    this.#leaving.delete(leaving);
  }

  /**
   * Resolves when every answer to what was committed so far has left, or its connection was cut.
   */
  async settle(): Promise<void> {
    // What was committed earlier is answered without waiting for anything: all of it before the
    // event loop turns.
    await new Promise((resolve) => setImmediate(resolve));
    const waiting = [...this.#leaving];
    if (waiting.length === 0) return;
    using _ = once(this.#clock, this.#timeoutMs, () => {
      for (const [leaving, left] of waiting) if (this.#leaving.get(leaving) === left) leaving.cut();
    });
    await Promise.all(waiting.map(([, { promise }]) => promise));
  }
}

/**
 * Collects a body of less than `limitBytes`. Null where it is longer, or says that it is; the rest
 * of it is read and dropped.
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer | null> {
  return new Promise((resolve) => {
    if (Number(request.headers["content-length"]) >= limitBytes) {
      request.resume(); // a client that is still sending would lose the answer to a reset
      resolve(null);
      return;
    }
    const body = new Gathering();
    request.on("data", (chunk: Buffer) => {
      if (body.lengthBytes + chunk.length >= limitBytes) resolve(null);
      else body.append(chunk);
    });
    request.on("end", () => resolve(body.bytes));
  });
}
