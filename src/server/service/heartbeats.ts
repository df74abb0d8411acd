import { buildHeard, type Heard, isHeartbeatOf, readHeartbeat } from "../../formats/own/heartbeat.ts";
import { heard, shortens, wantedSeconds } from "../policy/alive.ts";
import { listen, lockGone, saveNow } from "./alive.ts";
import type { Service } from "./service.ts";
import { hearReturn } from "./silence.ts";

/** Why a heartbeat counts for nothing. */
export type HeartbeatRefusal = "session/unknown" | "session/replayed" | "session/other-address";

/** What is answered; `malformed`: it is no heartbeat. */
type HeartbeatOutcome = { readonly answer: Buffer } | { readonly refused: HeartbeatRefusal | "malformed" };

/**
 * Takes a heartbeat: `POST /alive` of docs/format/heartbeat.md. Nothing is written for one that
 * counts, but for the first after a boot. One that names a session which exists, and does not
 * count, is told in the log. Whether a session exists is not told to whoever has not its key.
 * @throws NightlatchError store/*
 */
export async function takeHeartbeat(service: Service, body: Buffer, from: string): Promise<HeartbeatOutcome> {
  const { pulses } = service;
  const read = readHeartbeat(body);
  if (read === null) return { refused: "malformed" };
  const number = pulses.bySession(read.session);
  if (number === null) return { refused: "session/unknown" };
  const key = pulses.keyOf(number);
  if (!isHeartbeatOf(key, body)) {
    await tell(service, number, "session/forged", from);
    return { refused: "session/unknown" };
  }
  if (!pulses.isFrom(number, from)) return refuse(service, number, "session/other-address", from);
  if (!pulses.count(number, read.counter)) return refuse(service, number, "session/replayed", from);
  return { answer: buildHeard(key, body, await hear(service, number)) };
}

/** Notes that a machine is alive, where that is for it to say. */
async function hear(service: Service, number: number): Promise<Heard> {
  const { pulses, system } = service;
  const monotonicMs = system.monotonicMs();
  listen(service, monotonicMs);
  pulses.hear(number, { nowMs: system.nowMs(), monotonicMs });
  const pulse = pulses.pulseOf(number);
  if (pulse === null) return { isLocked: pulses.isLocked(number), withinSeconds: 0 };
  const withinSeconds = wantedSeconds(pulse.timeoutMs);
  if (pulses.isLocked(number)) return { isLocked: true, withinSeconds };
  if (pulses.isGone(number)) {
    await hearReturn(service, number);
    return { isLocked: false, withinSeconds };
  }
  const next = heard(pulse, monotonicMs);
  if (next === null) {
    // It comes too late. Whether it is locked, or its site was silent, is found at once: a machine
    // that runs does more at the word of a lock.
    await lockGone(service);
    return { isLocked: pulses.isLocked(number), withinSeconds };
  }
  pulses.setPulse(number, next);
  if (shortens(pulse, next)) await saveNow(service, number);
  return { isLocked: false, withinSeconds };
}

async function refuse(
  service: Service,
  number: number,
  refused: HeartbeatRefusal,
  from: string,
): Promise<HeartbeatOutcome> {
  await tell(service, number, refused, from);
  return { refused };
}

async function tell(service: Service, number: number, reason: string, from: string): Promise<void> {
  await service.queue.submit(async () => {
    const subject = service.pulses.idOf(number);
    const entry = service.refusals.count({ reason, subject }, from, service.system.nowMs());
    return { outcome: null, entries: entry === null ? [] : [entry] };
  });
}
