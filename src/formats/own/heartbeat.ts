import { timingSafeEqual } from "node:crypto";
import { ShortMac } from "./short-mac.ts";

/** The length of a session's name. */
export const SESSION_BYTES = 8;
/** The length of a session's key. */
export const HEARTBEAT_KEY_BYTES = 32;
/** The length of a heartbeat: docs/format/heartbeat.md. */
export const HEARTBEAT_BYTES = 44;
/** The length of the answer to one, and of one that tells of a lease. */
export const HEARD_BYTES = 37;
export const HEARD_LEASE_BYTES = 41;
/** The last counter of a session; whoever comes to it opens another. */
export const LAST_COUNTER = 0xffff_ffff;

const COUNTER_AT = SESSION_BYTES;
/** Where the MAC of a heartbeat begins, and what it is over ends. */
const MAC_AT = 12;
/** The same of an answer, and of one that tells of a lease. */
const HEARD_MAC_AT = 5;
const LEASE_MAC_AT = 9;

const ALIVE = new ShortMac("nightlatch-alive\0", MAC_AT);
const HEARD = new ShortMac("nightlatch-heard\0", MAC_AT + HEARD_MAC_AT);
const HEARD_LEASE = new ShortMac("nightlatch-heard-lease\0", MAC_AT + LEASE_MAC_AT);

/** What the server makes of a heartbeat. */
export interface Heard {
  /** The machine is locked, and the heartbeat has changed nothing. */
  readonly isLocked: boolean;
  /** Within how many seconds the next one is wanted; 0: the server does not mind. */
  readonly withinSeconds: number;
  /**
   * For how many seconds from now on a lease of the machine is open, 0 where none is; absent where
   * that was not asked, or not told.
   */
  readonly leaseSeconds?: number;
}

/**
 * Writes a heartbeat.
 * @param counter greater than that of every one before in the session, at most `LAST_COUNTER`
 */
export function buildHeartbeat(key: Uint8Array, session: Uint8Array, counter: number): Buffer {
  const body = Buffer.alloc(HEARTBEAT_BYTES);
  body.set(session);
  body.writeUInt32BE(counter, COUNTER_AT);
  body.set(aliveMac(key, body), MAC_AT);
  return body;
}

/**
 * Reads whose session a heartbeat names, and its counter; null where it is no heartbeat. Nothing of
 * it is verified.
 */
export function readHeartbeat(body: Buffer): { readonly session: Buffer; readonly counter: number } | null {
  if (body.length !== HEARTBEAT_BYTES) return null;
  return { session: body.subarray(0, SESSION_BYTES), counter: body.readUInt32BE(COUNTER_AT) };
}

/** Whether the holder of the session's key has written this heartbeat. */
export function isHeartbeatOf(key: Uint8Array, body: Buffer): boolean {
  return timingSafeEqual(aliveMac(key, body), body.subarray(MAC_AT));
}

/** Writes the answer to a heartbeat. */
export function buildHeard(key: Uint8Array, heartbeat: Buffer, heard: Heard): Buffer {
  const { isLocked, withinSeconds, leaseSeconds } = heard;
  const answer = Buffer.alloc(leaseSeconds === undefined ? HEARD_BYTES : HEARD_LEASE_BYTES);
  answer[0] = isLocked ? 1 : 0;
  answer.writeUInt32BE(withinSeconds, 1);
  // Of the shorter answer the MAC lies there.
  answer.writeUInt32BE(leaseSeconds ?? 0, HEARD_MAC_AT);
  answer.set(heardMac(key, heartbeat, answer), macAt(answer));
  return answer;
}

/** Reads the answer to a heartbeat; null where it is none of this server's to this heartbeat. */
export function parseHeard(key: Uint8Array, heartbeat: Buffer, answer: Buffer): Heard | null {
  if (answer.length !== HEARD_BYTES && answer.length !== HEARD_LEASE_BYTES) return null;
  if (!timingSafeEqual(heardMac(key, heartbeat, answer), answer.subarray(macAt(answer)))) return null;
  const heard = { isLocked: answer.readUInt8(0) !== 0, withinSeconds: answer.readUInt32BE(1) };
  return answer.length === HEARD_BYTES ? heard : { ...heard, leaseSeconds: answer.readUInt32BE(HEARD_MAC_AT) };
}

/** Where the MAC of an answer begins, and what it is over ends. */
function macAt({ length }: Uint8Array): number {
  return length === HEARD_BYTES ? HEARD_MAC_AT : LEASE_MAC_AT;
}

function aliveMac(key: Uint8Array, heartbeat: Uint8Array): Buffer {
  return ALIVE.put(heartbeat, MAC_AT, 0).of(key);
}

function heardMac(key: Uint8Array, heartbeat: Uint8Array, answer: Uint8Array): Buffer {
  const mac = answer.length === HEARD_BYTES ? HEARD : HEARD_LEASE;
  return mac.put(heartbeat, MAC_AT, 0).put(answer, macAt(answer), MAC_AT).of(key);
}
