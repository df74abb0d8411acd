// @ts-nocheck
import { printable } from "../core/text.ts";
import type { Json } from "../formats/json/json.ts";

/**
 * A time of the server's, RFC 3339, as people read it: to the second, in UTC. What is none is shown
 * as it is.
 */
export function timeText(time: Json | undefined): string {
  const [, date, clock] = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?Z$/.exec(String(time)) ?? [];
  return date === undefined || clock === undefined ? printable(String(time ?? "-")) : `${date} ${clock}Z`;
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** A time in milliseconds as options take it: in the largest unit of which it is a whole number. */
export function durationText(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, one]) => ms % one === 0) ?? ["ms", 1];
  return `${ms / unitMs}${unit}`;
}
