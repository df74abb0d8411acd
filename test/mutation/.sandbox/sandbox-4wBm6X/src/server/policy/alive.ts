// @ts-nocheck
import { hasExpired } from "./expiry.ts";

/**
 * What is known of whether a machine under the policy `alive` is there. Times are of the monotonic
 * clock of this run of the server, which nobody sets.
 */
export interface Pulse {
  /** How long a machine may be silent. */
  readonly timeoutMs: number;
  /** Until when it is released. */
  readonly openUntilMs: number;
  /**
   * When it is locked for good, unless it is heard before. Later than `openUntilMs` only where the
   * server itself did not listen for a while: it then knows too little to lock, and to release.
   */
  readonly dueMs: number;
  /** It was released since it was last heard, which has given it the time of a boot, once. */
  readonly isExtended: boolean;
}

/** A pulse as it lasts beyond a run of the server. Times are of the wall clock. */
export interface StoredPulse {
  readonly timeoutMs: number;
  readonly untilMs: number;
  /** When this was written. */
  readonly savedMs: number;
  readonly isExtended: boolean;
}

/** Why a machine under `alive` is not released: it was silent for too long, or since a restart. */
export type AliveRefusal = "policy/not-alive";

/** The shortest and the longest time that a machine may be silent. */
export const MIN_TIMEOUT_MS = 5_000;
export const MAX_TIMEOUT_MS = 86_400_000;

/**
 * What a boot may take, from the release to the first heartbeat. A machine has it once after it was
 * heard, and after an operator has unlocked it; longer where its timeout is.
 */
const BOOT_MS = 900_000;

/** Whether a machine is released now. */
export function isAlive({ openUntilMs }: Pulse, nowMs: number): boolean {
  return nowMs < openUntilMs;
}

/** Whether a machine was silent for so long that it is to be locked. */
export function isOverdue({ dueMs }: Pulse, nowMs: number): boolean {
  return nowMs >= dueMs;
}

/** The pulse after a heartbeat; null where it came too late, and the machine is to be locked. */
export function heard(pulse: Pulse, nowMs: number): Pulse | null {
  if (isOverdue(pulse, nowMs)) return null;
  const untilMs = nowMs + pulse.timeoutMs;
  return { timeoutMs: pulse.timeoutMs, openUntilMs: untilMs, dueMs: untilMs, isExtended: false };
}

/**
 * Whether a change has to be on the disk at once. What ends earlier than before would be released
 * for too long after a crash. A heartbeat does that only after a boot or an unlocking, and is
 * otherwise written when there is time.
 */
export function shortens(before: Pulse, after: Pulse): boolean {
  return after.openUntilMs < before.openUntilMs || (before.isExtended && !after.isExtended);
}

/**
 * The pulse after a release: the machine has the time of a boot to come up in. Null where it had
 * that already since it was last heard; whoever asks again and again gains nothing.
 */
export function released(pulse: Pulse, nowMs: number): Pulse | null {
  if (pulse.isExtended) return null;
  const untilMs = nowMs + BOOT_MS;
  return {
    timeoutMs: pulse.timeoutMs,
    openUntilMs: Math.max(pulse.openUntilMs, untilMs),
    dueMs: Math.max(pulse.dueMs, untilMs),
    isExtended: true,
  };
}

/** The pulse of a machine that comes back with its site: it has the time of a boot, once. */
export function returned(timeoutMs: number, nowMs: number): Pulse {
  const untilMs = nowMs + BOOT_MS;
  return { timeoutMs, openUntilMs: untilMs, dueMs: untilMs, isExtended: true };
}

/** The pulse of a machine that a person has put under `alive` now, or unlocked. */
export function begun(timeoutMs: number, nowMs: number): Pulse {
  const untilMs = nowMs + Math.max(timeoutMs, BOOT_MS);
  return { timeoutMs, openUntilMs: untilMs, dueMs: untilMs, isExtended: false };
}

/**
 * The pulse after the server itself did not listen: it was started anew, or held up. A machine has
 * its timeout once more to be heard in before it is locked. Until it is heard it is released for no
 * longer than it was before.
 */
export function forgiven(pulse: Pulse, nowMs: number): Pulse {
  return { ...pulse, dueMs: Math.max(pulse.dueMs, nowMs + pulse.timeoutMs) };
}

/** What the server knows of the time at its start. */
interface StartTimes {
  /** The wall clock. */
  readonly nowMs: number;
  /** The latest time that the log has seen since the pulse was stored. */
  readonly latestMs: number;
  readonly monotonicMs: number;
}

/**
 * The pulse with which a run of the server begins. Here alone the wall clock is asked, how long the
 * server was away. One that has gone back well behind what was seen says nothing (expiry.ts), and
 * nothing is released by it. However far it has jumped, it locks nobody.
 */
export function resumed(stored: StoredPulse, { nowMs, latestMs, monotonicMs }: StartTimes): Pulse {
  const { timeoutMs, untilMs, savedMs, isExtended } = stored;
  const isOver = hasExpired(untilMs, { nowMs, latestMs: Math.max(latestMs, savedMs) });
  const leftMs = isOver ? 0 : Math.min(untilMs - nowMs, untilMs - savedMs, Math.max(timeoutMs, BOOT_MS));
  const openUntilMs = monotonicMs + leftMs;
  return forgiven({ timeoutMs, openUntilMs, dueMs: openUntilMs, isExtended }, monotonicMs);
}

/** What lasts of a pulse. */
export function stored(
  { timeoutMs, openUntilMs, isExtended }: Pulse,
  { nowMs, monotonicMs }: { readonly nowMs: number; readonly monotonicMs: number },
): StoredPulse {
  return { timeoutMs, untilMs: Math.floor(nowMs + openUntilMs - monotonicMs), savedMs: nowMs, isExtended };
}

/** Within how many seconds the next heartbeat is wanted: two may be lost on the way. */
export function wantedSeconds(timeoutMs: number): number {
  return Math.max(1, Math.floor(timeoutMs / 4000));
}
