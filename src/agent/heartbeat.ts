import { isError } from "../core/errors.ts";
import type { Heard } from "../formats/own/heartbeat.ts";
import type { EnrolledServer } from "../pins/latch/machine.ts";
import {
  beginSession,
  endSession,
  type HeartbeatSession,
  type SessionPower,
  sendHeartbeat,
} from "../pins/latch/session.ts";
import type { System } from "../system/port.ts";

type HeartbeatPower = SessionPower & Pick<System, "sleep" | "random">;

interface HeartbeatOptions {
  /** Folder of what the machine keeps about itself. */
  readonly state: string;
  /** The longest pause between two heartbeats; a server may want them sooner. */
  readonly intervalMs: number;
  /** Says what has changed, and never the same twice in a row. */
  readonly log: (text: string) => void;
  /** Whether servers are asked what is left of this machine's lease. */
  readonly asksLease: boolean;
  /** Is told what a server answered; null where nobody wants to know. */
  readonly listener: ((url: string, heard: Heard) => Promise<void>) | null;
}

const REQUEST_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

/** What one server makes of this machine. */
interface Standing {
  session: HeartbeatSession | null;
  /** How many attempts in a row came to nothing. */
  failures: number;
  /** Within how many milliseconds the server wants the next heartbeat, as it last said. */
  withinMs: number;
  told: string;
}

/**
 * Sends heartbeats to one server until the signal aborts. Whatever fails is tried again, with
 * growing pauses that chance spreads, since a whole fleet may have lost the same server.
 */
export async function sendHeartbeats(
  system: HeartbeatPower,
  server: EnrolledServer,
  options: HeartbeatOptions,
  signal: AbortSignal,
): Promise<void> {
  const standing: Standing = { session: null, failures: 0, withinMs: Number.POSITIVE_INFINITY, told: "" };
  while (!signal.aborted) {
    const pauseMs = await attempt(system, server, options, standing, signal);
    await system.sleep(pauseMs, signal);
  }
  if (standing.session !== null) endSession(standing.session);
}

/** @returns how long to wait before the next attempt */
async function attempt(
  system: HeartbeatPower,
  server: EnrolledServer,
  options: HeartbeatOptions,
  standing: Standing,
  signal: AbortSignal,
): Promise<number> {
  const tell = (text: string) => {
    if (standing.told === text || signal.aborted) return;
    standing.told = text;
    options.log(text);
  };
  const { host } = new URL(server.url);
  const chance = system.random(2).readUInt16BE() / 65_536;
  try {
    const limits = { timeoutMs: Math.min(REQUEST_MS, standing.withinMs), signal };
    standing.session ??= await beginSession(system, options.state, server, {
      ...limits,
      asksLease: options.asksLease,
    });
    const heard = await sendHeartbeat(system, server, standing.session, limits);
    if (heard !== null) {
      standing.failures = 0;
      standing.withinMs = heard.withinSeconds === 0 ? Number.POSITIVE_INFINITY : heard.withinSeconds * 1000;
      tell(standingText(server, host, heard));
      await options.listener?.(server.url, heard);
      return pauseAfter(Math.min(options.intervalMs, standing.withinMs), chance);
    }
    endSession(standing.session);
    standing.session = null;
  } catch (error) {
    if (!isError(error)) throw error;
    tell([`${error.message} [${error.code}]`, error.remedy].filter(Boolean).join(" "));
  }
  return retryAfterMs(standing.failures++, Math.min(LONGEST_RETRY_MS, options.intervalMs, standing.withinMs), chance);
}

function standingText({ name }: EnrolledServer, host: string, { isLocked }: Heard): string {
  if (!isLocked) return `${host} hears this machine, as ${name}`;
  return `${host} has locked this machine: it will not be released at its next boot. To unlock it, there: nightlatch machine unlock ${name}`;
}

/** Up to a tenth sooner, so that machines that came up together do not stay so. */
function pauseAfter(intervalMs: number, chance: number): number {
  return Math.round(intervalMs * (1 - chance / 10));
}

/** Exponential, with half of it left to chance. @param failures in a row, before this one */
function retryAfterMs(failures: number, longestMs: number, chance: number): number {
  const fullMs = Math.min(longestMs, FIRST_RETRY_MS * 2 ** Math.min(failures, 30));
  return Math.round(fullMs / 2 + (fullMs / 2) * chance);
}
