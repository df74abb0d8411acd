import { buildHeard, type Heard, isHeartbeatOf, readHeartbeat } from "../../../formats/own/heartbeat.ts";
import { heard, shortens, wantedSeconds } from "../../policy/alive.ts";
import { endLeaseOfBoot, leaseSecondsOf } from "../leases.ts";
import type { Service } from "../service.ts";
import { listen, lockGone, saveNow } from "./alive.ts";
import { hearReturn } from "./silence.ts";

/** Why a heartbeat counts for nothing. */
export type HeartbeatRefusal = "session/unknown" | "session/replayed" | "session/other-address";

/** What is answered; `malformed`: it is no heartbeat. */
export type HeartbeatOutcome = { readonly answer: Buffer } | { readonly refused: HeartbeatRefusal | "malformed" };

/**
 * Takes a heartbeat: `POST /alive` of docs/format/heartbeat.md. Nothing is written for one that
 * counts, but for the first after a boot, which ends that boot's lease too. One that names a
 * session which exists, and does not count, is told in the log. Whether a session exists is not
 * told to whoever has not its key.
 * @param asksLease the answer tells of the machine's lease, which is read in the store
 * @returns at once, where nothing has to be written: a million machines send one every minute
 * @throws NightlatchError store/*
 */
export function takeHeartbeat(
  service: Service,
  body: Buffer,
  from: string,
  asksLease = false,
): HeartbeatOutcome | Promise<HeartbeatOutcome> {
  const { pulses } = service;
  const read = readHeartbeat(body);
  if (read === null) return { refused: "malformed" };
  const number = pulses.bySession(read.session);
  if (number === null) return { refused: "session/unknown" };
  const key = pulses.keyOf(number);
  if (!isHeartbeatOf(key, body)) return refuse(service, number, "session/forged", from);
  if (!pulses.isFrom(number, from)) return refuse(service, number, "session/other-address", from);
  if (!pulses.count(number, read.counter)) return refuse(service, number, "session/replayed", from);
  const isUp = service.cameUp.has(number);
  const told = isUp ? endLeaseOfBoot(service, number).then(() => hear(service, number)) : hear(service, number);
  const heard = asksLease ? withLease(service, number, told) : told;
  if (!(heard instanceof Promise)) return { answer: buildHeard(key, body, heard) };
  // A session that is opened meanwhile has its key in the place of this one's.
  const own = Buffer.from(key);
  return heard.then((what) => ({ answer: buildHeard(own, body, what) })).finally(() => own.fill(0));
}

/**
 * Notes that a machine is alive, where that is for it to say. Where that has to be on the disk
 * before the answer, it is given later.
 */
function hear(service: Service, number: number): Heard | Promise<Heard> {
  const { pulses, system } = service;
  const monotonicMs = system.monotonicMs();
  listen(service, monotonicMs);
  pulses.hear(number, { nowMs: system.nowMs(), monotonicMs });
  const pulse = pulses.pulseOf(number);
  if (pulse === null) return { isLocked: pulses.isLocked(number), withinSeconds: 0 };
  const withinSeconds = wantedSeconds(pulse.timeoutMs);
  if (pulses.isLocked(number)) return { isLocked: true, withinSeconds };
  const isWell: Heard = { isLocked: false, withinSeconds };
  if (pulses.isGone(number)) return hearReturn(service, number).then(() => isWell);
  const next = heard(pulse, monotonicMs);
  // It comes too late. Whether it is locked, or its site was silent, is found at once: a machine
  // that runs does more at the word of a lock.
  if (next === null) return lockGone(service).then(() => ({ isLocked: pulses.isLocked(number), withinSeconds }));
  pulses.setPulse(number, next);
  return shortens(pulse, next) ? saveNow(service, number).then(() => isWell) : isWell;
}

/** Adds what is left of the machine's lease, as the answer is about to be given. */
async function withLease(service: Service, number: number, told: Heard | Promise<Heard>): Promise<Heard> {
  const heard = await told;
  return { ...heard, leaseSeconds: await leaseSecondsOf(service, service.pulses.idOf(number)) };
}

async function refuse(
  service: Service,
  number: number,
  why: HeartbeatRefusal | "session/forged",
  from: string,
): Promise<HeartbeatOutcome> {
  await tell(service, number, why, from);
  return { refused: why === "session/forged" ? "session/unknown" : why };
}

async function tell(service: Service, number: number, reason: string, from: string): Promise<void> {
  await service.queue.submit(async () => {
    const subject = service.pulses.idOf(number);
    const entry = service.refusals.count({ reason, subject }, from, service.system.nowMs());
    return { outcome: null, entries: entry === null ? [] : [entry] };
  });
}
