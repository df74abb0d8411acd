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
  const isWithin =
    fromMinute < toMinute ? minute >= fromMinute && minute < toMinute : minute >= fromMinute || minute < toMinute;
  return isWithin ? null : "policy/other-hours";
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

const TEXT = /^(?:from (?<from>\S+))?(?:(?:^| )per-day (?<perDay>\d+))?(?:(?:^| )hours (?<hours>\S+))?$/;

/** Reads what `limitsText` has written. What it would not have written releases nothing. */
export function readLimits(text: string | null): ReleaseLimits {
  if (text === null) return UNLIMITED;
  const groups = Object.entries(TEXT.exec(text)?.groups ?? {});
  const words = Object.fromEntries(groups.filter(([, word]) => word !== undefined)) as LimitWords;
  const limits = parseLimits(words);
  return limits !== null && limitsText(limits) === text ? limits : NOTHING;
}

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
  const networks = text.split(",").map(parseIpNetwork);
  if (networks.length > MAX_NETWORKS || networks.some((network) => network === null)) return undefined;
  return networks.filter((network) => network !== null);
}

function parseCount(text: string): number | null | undefined {
  if (text === "any") return null;
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  return count >= 1 && count <= MAX_PER_DAY ? count : undefined;
}

function parseHours(text: string): Hours | null | undefined {
  if (text === "any") return null;
  const [, ...digits] = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  const [fromHour, fromMinute, toHour, toMinute] = digits.map(Number);
  if (fromHour === undefined || fromMinute === undefined || toHour === undefined || toMinute === undefined)
    return undefined;
  const hours = { fromMinute: fromHour * 60 + fromMinute, toMinute: toHour * 60 + toMinute };
  return hours.fromMinute === hours.toMinute ? undefined : hours;
}

function hoursText({ fromMinute, toMinute }: Hours): string {
  const time = (minute: number) =>
    `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
  return `${time(fromMinute)}-${time(toMinute)}`;
}
