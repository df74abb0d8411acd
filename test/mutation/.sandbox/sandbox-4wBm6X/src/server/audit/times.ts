// @ts-nocheck
import type { CompactRange } from "../../formats/log/merkle.ts";

/** An entry whose time no later entry has reached. */
interface LogTime {
  /** Of the entry. */
  readonly number: number;
  readonly atMs: number;
}

/**
 * The latest times of the log: of its last entry, and of those before it that are later than all
 * that follow them. There is one where the clock never went back. They are sorted by number, and so
 * by falling time. They answer what the latest time since any entry was.
 */
export type LogTimes = readonly LogTime[];

/** Where the log stands: all that appending takes. */
export interface Tree extends CompactRange {
  readonly times: LogTimes;
}

/** At most as many are kept. A clock that goes back all the time would make one for each entry. */
const MAX_TIMES = 64;

const BYTES = 16;

/** The times after more entries, which are given by their numbers and times. */
export function appendTimes(times: LogTimes, appended: LogTimes): LogTimes {
  const grown = [...times];
  for (const time of appended) {
    while ((grown.at(-1)?.atMs ?? Number.POSITIVE_INFINITY) <= time.atMs) grown.pop();
    grown.push(time);
    const [first, second] = grown;
    // As if the later of the two had been at the time of the earlier, which is later: what expires
    // does so too early, never too late.
    if (grown.length > MAX_TIMES && first !== undefined && second !== undefined)
      grown.splice(0, 2, { number: second.number, atMs: first.atMs });
  }
  return grown;
}

/** The latest time of the entries from this number on; minus infinity where there is none. */
export function latestSince(times: LogTimes, number: number): number {
  return times.find((time) => time.number >= number)?.atMs ?? Number.NEGATIVE_INFINITY;
}

/** Packs times as two doubles each, big endian. */
export function packTimes(times: LogTimes): Buffer {
  const packed = Buffer.alloc(times.length * BYTES);
  for (const [index, { number, atMs }] of times.entries()) {
    packed.writeDoubleBE(number, index * BYTES);
    packed.writeDoubleBE(atMs, index * BYTES + 8);
  }
  return packed;
}

/** Reads packed times. What is cut short is left out. */
export function unpackTimes(packed: Buffer): LogTimes {
  return Array.from({ length: Math.min(MAX_TIMES, Math.floor(packed.length / BYTES)) }, (_, index) => ({
    number: packed.readDoubleBE(index * BYTES),
    atMs: packed.readDoubleBE(index * BYTES + 8),
  }));
}
