// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { Measured } from "../formats/tpm2/registers.ts";
import type { BoundPin, EarlyNeeds, Pin } from "./pin.ts";
import { PINS, readPin } from "./pins.ts";

/** A binding, with all that is nested in it, may ask this many servers. */
export const SERVER_COUNT = 64;
/** Bindings may be nested this deep and still be opened. */
export const DEPTH = 4;

/**
 * Tells how many of SERVER_COUNT a binding takes up, without its children. One that asks no server
 * and has no children counts as one, for the work that it makes.
 */
export function weightOf({ urls, children }: BoundPin): number {
  return children.length > 0 ? urls.length : Math.max(1, urls.length);
}

/**
 * Lists the addresses of all servers that a binding asks, its children's included, in their order.
 * A child that is damaged has none.
 */
export function urlsOf(pin: BoundPin, pins: readonly Pin[] = PINS): string[] {
  const ofChildren = pin.children.flatMap((child) => {
    const bound = tryReadPin(child, pins);
    return bound === null ? [] : urlsOf(bound, pins);
  });
  return [...pin.urls, ...ofChildren];
}

/** What of the machine's start a binding, or a share of it, is sealed to. */
export interface MeasuredShare extends Measured {
  /** Whether the binding opens by nothing without it: no threshold leaves it out. */
  readonly isNeeded: boolean;
}

/**
 * Lists what of the machine's start a binding is sealed to, its children included, in their order.
 */
export function measuredOf(
  pin: BoundPin,
  pins: readonly Pin[] = PINS,
  { depth = 0, isNeeded = true } = {},
): MeasuredShare[] {
  const own = pin.measured === undefined ? [] : [{ ...pin.measured, isNeeded }];
  if (depth >= DEPTH) return own;
  const { threshold = pin.children.length } = pin;
  const within = { depth: depth + 1, isNeeded: isNeeded && threshold === pin.children.length };
  const ofChildren = pin.children.flatMap((child) => {
    const bound = tryReadPin(child, pins);
    return bound === null ? [] : measuredOf(bound, pins, within);
  });
  return [...own, ...ofChildren];
}

/**
 * Tells whether a binding, with all that is nested in it, opens only with a person who types a PIN:
 * one such pin, or an sss that does not reach its threshold without. Of one with more shares than
 * may be asked it says no.
 */
export function needsPerson(pin: BoundPin, pins: readonly Pin[] = PINS): boolean {
  return wayOf(pin, pins, { left: SERVER_COUNT }, 0) === "person";
}

/** How a binding opens: by itself, with a person, or not at all as far as its header tells. */
function wayOf(
  pin: BoundPin,
  pins: readonly Pin[],
  budget: { left: number },
  depth: number,
): "itself" | "person" | "none" {
  const { children, threshold } = pin;
  if (threshold === undefined || depth >= DEPTH) return pin.needsPerson === true ? "person" : "itself";
  const ways = children.map((child) => {
    if (budget.left-- <= 0) return "itself";
    const bound = tryReadPin(child, pins);
    return bound === null ? "none" : wayOf(bound, pins, budget, depth + 1);
  });
  if (ways.filter((way) => way === "itself").length >= threshold) return "itself";
  return ways.includes("person") ? "person" : "none";
}

/**
 * Tells what stock clevis needs in an initramfs for a binding with all of its children that it can
 * open there. A threshold may be reached with fewer of them. `never` is said where it cannot be.
 */
export function earlyOf(pin: BoundPin, pins: readonly Pin[] = PINS, depth = 0): EarlyNeeds {
  const { early, children, threshold = children.length } = pin;
  if (early.never !== undefined || children.length === 0 || depth >= DEPTH) return early;
  const each = children.map((child): EarlyNeeds => {
    const bound = tryReadPin(child, pins);
    return bound === null ? DAMAGED : earlyOf(bound, pins, depth + 1);
  });
  const usable = each.filter(({ never }) => never === undefined);
  const [lost] = each.flatMap(({ never }) => never ?? []);
  return {
    pins: [...new Set([...early.pins, ...usable.flatMap((one) => one.pins)])],
    network: early.network || usable.some(({ network }) => network),
    ...(usable.length < threshold && lost !== undefined ? { never: lost } : {}),
  };
}

const DAMAGED: EarlyNeeds = { pins: [], network: false, never: "a share of the binding is damaged" };

/**
 * Counts the servers that a binding asks with all that is nested in it. It is at least 1, for the
 * work that a binding makes. The count stops as soon as it is above `limit`, and goes no deeper
 * than bindings are opened.
 */
export function countServers(jwe: FlattenedJwe, limit: number, depth = 0): number {
  const pin = tryReadPin(jwe, PINS);
  if (pin === null) return 1;
  let count = weightOf(pin);
  if (depth >= DEPTH) return Math.max(1, count);
  for (const child of pin.children) {
    if (count > limit) break;
    count += countServers(child, limit - count, depth + 1);
  }
  return Math.max(1, count);
}

/** A line of the log names no more children than these. */
const NAMED_COUNT = 4;

/**
 * Says in one line what is asked for the key, e.g. `tang at keys.example.org`, or `2 of [tang at
 * a.example, tang at b.example]`. A binding that cannot be read is `damaged`.
 */
export function describePin(jwe: FlattenedJwe, pins: readonly Pin[] = PINS): string {
  return describe(jwe, pins, ({ children }) => {
    const named = children
      .slice(0, NAMED_COUNT)
      .map((child) => describe(child, pins, (nested) => String(nested.children.length)));
    const more = children.length - named.length;
    return `[${named.join(", ")}${more > 0 ? `, and ${more} more` : ""}]`;
  });
}

function describe(jwe: FlattenedJwe, pins: readonly Pin[], describeChildren: (pin: BoundPin) => string): string {
  const pin = tryReadPin(jwe, pins);
  return pin === null ? "damaged" : pin.describe(describeChildren(pin));
}

/** Reads a binding; null where it is damaged, which an attempt at it tells. */
function tryReadPin(jwe: FlattenedJwe, pins: readonly Pin[]): BoundPin | null {
  try {
    return readPin(jwe, pins);
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}
