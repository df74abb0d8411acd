import type { Json } from "../../formats/json/json.ts";
import { readEntry } from "../audit/latest.ts";
import { type LogTimes, latestSince } from "../audit/times.ts";
import { hasExpired } from "../policy/expiry.ts";
import type { FormerEpoch, GroupRow, InviteRow, LatchRow, LeaseRow, MachineRow, SiteRow } from "../store/rows.ts";

/**
 * A machine as docs/format/admin.md shows it. No view shows a wrapped key or a nonce, and times are
 * text.
 * @param heardMs when it was last heard in this run of the server; null where it was not
 */
export function machineView(
  machine: MachineRow,
  time: TimeView,
  heardMs: number | null = null,
): Record<string, unknown> {
  const { id, name, state, epoch, enrolledMs, group, policy, source, approval, limits, lease, alive, seenMs, goneIn } =
    machine;
  const heard = heardMs ?? seenMs;
  return {
    id,
    name,
    state,
    epoch,
    enrolled: isoTime(enrolledMs),
    group,
    gone: goneIn !== null,
    policy,
    policyOf: source,
    approval,
    limits,
    timeoutMs: alive?.timeoutMs ?? null,
    lease: leaseView(lease, time),
    lastHeard: heard === null ? null : isoTime(heard),
  };
}

/** A group as docs/format/admin.md shows it. */
export function groupView(
  { name, terms, site }: GroupRow,
  { machines, gone }: { readonly machines: number; readonly gone: number },
): Record<string, unknown> {
  const { policy = null, approval = null, timeoutMs = null, limits = null } = terms ?? {};
  return { name, policy, approval, timeoutMs, limits, machines, gone, site: siteView(site) };
}

function siteView({ state, hold, sinceMs, by, open }: SiteRow): Record<string, unknown> {
  const since = state === "free" || sinceMs === null ? null : isoTime(sinceMs);
  const window = open === null ? null : { until: isoTime(open.untilMs), rate: open.rate };
  return { state, holds: hold, since, by: state === "free" ? null : by, open: window };
}

/** The server's clock, and what its log says of time. */
interface TimeView {
  readonly nowMs: number;
  readonly times: LogTimes;
}

/** The window that is open for a machine; null where there is none, or it is over. */
function leaseView(lease: LeaseRow | null, { nowMs, times }: TimeView): Record<string, unknown> | null {
  if (lease === null || hasExpired(lease.untilMs, { nowMs, latestMs: latestSince(times, lease.madeAt) })) return null;
  const { number, untilMs, graceMs, by, to } = lease;
  return { number, until: isoTime(untilMs), graceMs, by, to };
}

/**
 * A latch as docs/format/admin.md shows it.
 * @param formers the former epochs that are not over, of any latches; where they are not given,
 *   nothing is said of them
 */
export function latchView(latch: LatchRow, formers?: readonly FormerEpoch[]): Record<string, unknown> {
  const { id, volume, state, epoch, createdMs, use } = latch;
  const former = formers?.find((one) => one.latch === id)?.epoch ?? null;
  const told = formers === undefined ? {} : { former };
  return { id, volume, state, epoch, ...told, created: isoTime(createdMs), releasedInLease: use?.lease ?? null };
}

/** An invite as docs/format/admin.md shows it. */
export function inviteView(invite: InviteRow, { nowMs, times }: TimeView): Record<string, unknown> {
  const { id, name, createdMs, expiresMs, madeAt, group } = invite;
  const expired = hasExpired(expiresMs, { nowMs, latestMs: latestSince(times, madeAt) });
  return { id, name, created: isoTime(createdMs), expires: isoTime(expiresMs), expired, group };
}

/**
 * What an entry tells of releases: when the last was, and where it went. Null where there is none.
 */
export function releaseView(body: Buffer | null): Record<string, unknown> | null {
  if (body === null) return null;
  const { kind, at, last, from, latch } = readEntry(body);
  return { at: entryTime(last ?? at), from: from ?? null, latch: latch ?? null, often: kind !== "release" };
}

/** When the last release was that an entry tells of; 0 where the entry was damaged. */
export function releaseMs(body: Buffer): number {
  const { at, last } = readEntry(body);
  const ms = last ?? at;
  return typeof ms === "number" ? ms : 0;
}

/**
 * What an entry tells of refusals; null where there is none. `machine` is the one whose identity it
 * was, where that is told.
 */
export function refusalView(body: Buffer | null): Record<string, unknown> | null {
  if (body === null) return null;
  const { at, reason, from, machine, count } = readEntry(body);
  return { at: entryTime(at), reason: reason ?? null, from: from ?? null, machine: machine ?? null, more: count ?? 0 };
}

/** A time as RFC 3339 text, in UTC. */
export function isoTime(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** A time in the log as text. Null where it is none, or one that no clock can have. */
export function entryTime(at: Json | undefined): string | null {
  return typeof at === "number" && Math.abs(at) <= MAX_TIME_MS ? isoTime(at) : null;
}

/** ECMA-262 section 21.4.1.1. */
const MAX_TIME_MS = 8.64e15;
