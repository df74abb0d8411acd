/** Time that a simulation makes, and the turns of the event loop in it. */
// @ts-nocheck

import type { System } from "../../src/system/port.ts";

interface Due {
  readonly atMs: number;
  readonly order: number;
  act: (() => void) | null;
}

const realImmediate = setImmediate;

/**
 * A clock that stands still until nothing is left to do at its time, and then goes to the next
 * thing that is due. It takes the place of setImmediate too, and so knows when nothing is left.
 */
export class SimulatedTime implements Disposable {
  readonly #heap: Due[] = [];
  #turn: (() => void)[] = [];
  #order = 0;
  #nowMs = 0;
  #stirredMs = 0;
  /** What the wall clock of the server is ahead of the true time. */
  offsetMs = 0;
  readonly #startMs: number;

  constructor(startMs: number) {
    this.#startMs = startMs;
    globalThis.setImmediate = ((act: (...given: unknown[]) => void, ...given: unknown[]) => {
      this.#turn.push(() => act(...given));
      return undefined as unknown as NodeJS.Immediate;
    }) as typeof setImmediate;
  }

  [Symbol.dispose](): void {
    globalThis.setImmediate = realImmediate;
  }

  /** True time since the beginning. */
  get trueMs(): number {
    return this.#nowMs;
  }

  /** What the server takes for the time. */
  get wallMs(): number {
    return this.#startMs + this.#nowMs + this.offsetMs;
  }

  /** Does something later. @returns what calls it off */
  at(delayMs: number, act: () => void): () => void {
    const due: Due = { atMs: this.#nowMs + Math.max(0, Math.ceil(delayMs)), order: this.#order++, act };
    this.#push(due);
    return () => {
      due.act = null;
    };
  }

  /** Waits; an aborted signal ends the wait. */
  readonly sleep: System["sleep"] = (delayMs, signal) => this.#wait(delayMs, signal);

  /** Something happened that a server may have to put in order. */
  stir(): void {
    this.#stirredMs = this.#nowMs;
  }

  /**
   * The sleep of one life of a server. It ends with that life: nobody is woken then. What the
   * server does now and then it does less often while nothing happens, after as long again as that
   * has been: a timer may be late, and a year has a million half minutes.
   */
  sleepWhile(isAlive: () => boolean): System["sleep"] {
    return (delayMs, signal) =>
      new Promise((resolve) => {
        const idleMs = delayMs < 1000 ? 0 : 8 * (this.#nowMs - this.#stirredMs);
        void this.#wait(Math.max(delayMs, idleMs), signal).then(() => {
          if (isAlive()) resolve();
        });
      });
  }

  #wait(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const callOff = this.at(delayMs, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      const abort = () => {
        callOff();
        resolve();
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Turns the event loop until nothing is left to do at this time. */
  async settle(): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => realImmediate(resolve)); // every promise that can go on has
      const turn = this.#turn;
      if (turn.length === 0) return;
      this.#turn = [];
      for (const act of turn) act();
    }
  }

  /** Goes to the next thing that is due, does it and what follows. False at the end. */
  async step(untilMs: number): Promise<boolean> {
    const next = this.#pop();
    if (next === undefined) return false;
    if (next.atMs > untilMs) {
      this.#push(next);
      this.#nowMs = untilMs;
      return false;
    }
    this.#nowMs = next.atMs;
    if (next.act === null) return true;
    next.act();
    await this.settle();
    return true;
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(due, heap[above] as Due)) break;
      heap[at] = heap[above] as Due;
      at = above;
    }
    heap[at] = due;
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Due, heap[below] as Due)) below++;
      if (!isBefore(heap[below] as Due, last)) break;
      heap[at] = heap[below] as Due;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
