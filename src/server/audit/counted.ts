import type { EntryText } from "./latest.ts";

/**
 * A release that is counted, as `encodeEntry` writes it. Text of a peer's has its quotes escaped,
 * and so never looks like this.
 */
const COUNTED = /^\{"at":\d+,"day":(\d+),.*"kind":"release","latch":"([\w-]+)",.*"since":(\d+)[,}]/;

/** The releases of a latch in a day that began with one. */
interface Counted {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly count: number;
}

/** Each latch whose releases these entries have counted, and how it was counted last. */
export function countedIn(entries: readonly EntryText[]): Map<string, Counted> {
  const found = new Map<string, Counted>();
  for (const [, body] of entries) {
    const [, count, latch, sinceMs] = COUNTED.exec(body) ?? [];
    if (latch !== undefined) found.set(latch, { sinceMs: Number(sinceMs), count: Number(count) });
  }
  return found;
}
