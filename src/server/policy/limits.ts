import { remembered } from "../../core/remembered.ts";
import { type IpNetwork, isInNetwork, parseIpNetwork } from "../../formats/network/ip-network.ts";

/** What bounds the releases of a machine whatever its policy is: docs/policy.md. */
export interface ReleaseLimits {
  /** The networks that it is released to; empty: any. */
  readonly from: readonly IpNetwork[];
  /** How often a latch is released in 24 hours; null: however often. */
  readonly perDay: number | null;
  /** The time of day; null: any. */
  readonly hours: Hours | null;
}

/** From a minute of the day on, and until another, before which it ends. It may span midnight. */
interface Hours {
  readonly fromMinute: number;
  readonly toMinute: number;
}

/** The releases of a latch that were counted last. */
export interface Day {
  /** Their first, in milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly count: number;
}

/** Why a limit releases nothing. It is for the log and the operator, never for whoever asks. */
export type LimitRefusal = "policy/other-network" | "policy/other-hours" | "policy/day-used";

/** Nothing is bounded. */
const UNLIMITED: ReleaseLimits = { from: [], perDay: null, hours: null };

const DAY_MS = 86_400_000;
const DAY_MINUTES = 1440;
const MAX_NETWORKS = 16;
/** Fewer than the receipts that a latch has room for at once: pace.ts. */
const MAX_PER_DAY = 100;

/**
 * Decides whether a place and a time of day are within the limits; null where they are.
 * @param minute of the day, by the server's own time
 */
export function judgePlace({ from, hours }: ReleaseLimits, address: string, minute: number): LimitRefusal | null {
  if (from.length > 0 && !from.some((network) => isInNetwork(network, address))) return "policy/other-network";
  if (hours === null) return null;
  const { fromMinute, toMinute } = hours;
  return minutesBetween(fromMinute, minute) < minutesBetween(fromMinute, toMinute) ? null : "policy/other-hours";
}

/** How many minutes pass from one minute of the day to another, on the next day if need be. */
function minutesBetween(fromMinute: number, toMinute: number): number {
  return (toMinute - fromMinute + DAY_MINUTES) % DAY_MINUTES;
}

/**
 * Counts one more release of a latch; null where it would be too many. A day begins with its first
 * release. Where the clock was set back since, it begins then with what it has counted; by more
 * than a day, and it begins anew, or nobody would be released for as long as it had been ahead.
 */
export function countDay(day: Day | null, perDay: number, nowMs: number): Day | null {
  const isOver = day === null || nowMs >= day.sinceMs + DAY_MS || nowMs < day.sinceMs - DAY_MS;
  if ((isOver ? 0 : day.count) >= perDay) return null;
  if (isOver) return { sinceMs: nowMs, count: 1 };
  return { sinceMs: Math.min(day.sinceMs, nowMs), count: day.count + 1 };
}

/** What limits look like as an operator gives them: each absent where it is as before. */
export interface LimitWords {
  /** Networks with commas in between, or `any`. */
  readonly from?: string;
  /** A number, or `any`. */
  readonly perDay?: string;
  /** `08:00-18:00`, or `any`. */
  readonly hours?: string;
}

/** Reads what an operator gives, over what holds now; null where it is not as it must be. */
export function parseLimits(words: LimitWords, current: ReleaseLimits = UNLIMITED): ReleaseLimits | null {
  const from = words.from === undefined ? current.from : parseNetworks(words.from);
  const perDay = words.perDay === undefined ? current.perDay : parseCount(words.perDay);
  const hours = words.hours === undefined ? current.hours : parseHours(words.hours);
  return from === undefined || perDay === undefined || hours === undefined ? null : { from, perDay, hours };
}

/** Writes limits as one text, which `readLimits` reads; null where nothing is bounded. */
export function limitsText({ from, perDay, hours }: ReleaseLimits): string | null {
  const words = [
    from.length === 0 ? "" : `from ${from.map(({ text }) => text).join(",")}`,
    perDay === null ? "" : `per-day ${perDay}`,
    hours === null ? "" : `hours ${hoursText(hours)}`,
  ].filter((word) => word !== "");
  return words.length === 0 ? null : words.join(" ");
}

/** Reads what `limitsText` has written. What it would not have written releases nothing. */
export function readLimits(text: string | null): ReleaseLimits {
  return text === null ? UNLIMITED : readText(text);
}

/** The machines of a fleet have the same limits, and each release reads them. */
const readText = remembered(1024, (text): ReleaseLimits => {
  const words = new Map(Array.from(text.matchAll(/(\S+) (\S+)/g), ([, name, word]) => [name, word]));
  const [from = "any", perDay = "any", hours = "any"] = ["from", "per-day", "hours"].map((name) => words.get(name));
  const limits = parseLimits({ from, perDay, hours });
  return limits !== null && limitsText(limits) === text ? limits : NOTHING;
});

const NOTHING: ReleaseLimits = { from: [], perDay: 0, hours: null };

/** Whether the limits let nothing through that those of before did not. */
export function areTighter(limits: ReleaseLimits, before: ReleaseLimits): boolean {
  const isSame = limitsText({ ...limits, perDay: null }) === limitsText({ ...before, perDay: null });
  const wasOpen = before.from.length === 0 && before.hours === null;
  const perDay = limits.perDay ?? Number.POSITIVE_INFINITY;
  return (isSame || wasOpen) && perDay <= (before.perDay ?? Number.POSITIVE_INFINITY);
}

function parseNetworks(text: string): readonly IpNetwork[] | undefined {
  if (text === "any") return [];
  const networks: IpNetwork[] = [];
  for (const word of text.split(",")) {
    const network = parseIpNetwork(word);
    if (network === null) return undefined;
    networks.push(network);
  }
  return networks.length > MAX_NETWORKS ? undefined : networks;
}

function parseCount(text: string): number | null | undefined {
  if (text === "any") return null;
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  return count >= 1 && count <= MAX_PER_DAY ? count : undefined;
}

function parseHours(text: string): Hours | null | undefined {
  if (text === "any") return null;
  const [fromHour = 0, fromMinute = 0, toHour = 0, toMinute = 0] = text.split(/[:-]/).map(Number);
  const hours = { fromMinute: fromHour * 60 + fromMinute, toMinute: toHour * 60 + toMinute };
  const isTime = hoursText(hours) === text && Math.max(hours.fromMinute, hours.toMinute) < DAY_MINUTES;
  return isTime && hours.fromMinute !== hours.toMinute ? hours : undefined;
}

function hoursText({ fromMinute, toMinute }: Hours): string {
  const time = (minute: number) =>
    `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
  return `${time(fromMinute)}-${time(toMinute)}`;
}
