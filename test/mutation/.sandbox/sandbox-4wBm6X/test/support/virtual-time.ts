// @ts-nocheck
import type { System } from "../../src/system/port.ts";

/** A clock that stands still until everything waits, and then jumps to the next one that wakes. */
export class VirtualTime {
  #nowMs = 0;
  readonly #sleepers = new Set<{ readonly atMs: number; wake(): void }>();

  readonly power: Pick<System, "sleep" | "monotonicMs" | "random"> = {
    monotonicMs: () => this.#nowMs,
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper = {
          atMs: this.#nowMs + delayMs,
          wake: () => {
            this.#sleepers.delete(sleeper);
            resolve();
          },
        };
        this.#sleepers.add(sleeper);
        signal?.addEventListener("abort", sleeper.wake, { once: true });
      }),
    random: (lengthBytes) => Buffer.alloc(lengthBytes, 0x80),
  };

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Lets time pass until `work` has settled. */
  async run<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    work.then(done, done);
    for (;;) {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      if (settled) return work;
      const next = [...this.#sleepers].sort((one, other) => one.atMs - other.atMs)[0];
      if (next === undefined) throw new Error("everything waits for ever");
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
  }
}
