import type { System } from "../system/port.ts";

/**
 * The clock that everything timed in the server runs on. Nothing in it asks Node for the time, or
 * for a timer: so a simulation can have it live through years
 * (docs/decisions/123-a-server-that-can-be-simulated.md).
 */
export type Clock = Pick<System, "monotonicMs" | "sleep">;

/** Does something again and again, until what it gives is disposed of; not at once. */
export function every(clock: Pick<Clock, "sleep">, intervalMs: number, act: () => void): Disposable {
  const stop = new AbortController();
  const next = (): void => {
    after(clock, intervalMs, stop.signal, () => {
      next(); // first: what is done must not put the next one off
      act();
    });
  };
  next();
  return { [Symbol.dispose]: () => stop.abort() };
}

/** Does something once, unless what it gives is disposed of before. */
export function once(clock: Pick<Clock, "sleep">, delayMs: number, act: () => void): Disposable {
  const stop = new AbortController();
  after(clock, delayMs, stop.signal, act);
  return { [Symbol.dispose]: () => stop.abort() };
}

function after(clock: Pick<Clock, "sleep">, delayMs: number, signal: AbortSignal, act: () => void): void {
  void clock.sleep(delayMs, signal).then(() => {
    if (!signal.aborted) act();
  });
}

/**
 * Waits for the next turn of the event loop: the input that is there now was read by then, and who
 * was told something before has gone on.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
