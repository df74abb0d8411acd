import { NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { buildHeartbeat, type Heard, LAST_COUNTER, parseHeard } from "../../formats/own/heartbeat.ts";
import { parseChallenge } from "../../formats/own/lease.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import { buildSessionRequest, makeSessionHalf, parseSessionAnswer, sessionKey } from "../../formats/own/session.ts";
import type { HttpResponse, System } from "../../system/port.ts";
import { type EnrolledServer, readIdentity } from "./machine.ts";

/** What it takes to open a session and to send heartbeats. */
export type SessionPower = Pick<System, "readFileIfPresent" | "request">;

/** A session at a server: docs/format/heartbeat.md. */
export interface HeartbeatSession {
  /** Wiped by `endSession`. */
  readonly key: Buffer;
  readonly name: Buffer;
  /** Of the last heartbeat that was sent. */
  counter: number;
  /** Whether heartbeats ask what is left of the lease; not where the server cannot tell. */
  asksLease: boolean;
}

/** A refusal is longer than an answer. */
const ANSWER_BYTES = 4096;
const REFUSALS = ["machine/locked", "machine/revoked", "machine/unknown"] as const;

/**
 * Opens a session: this machine signs, and the server has signed what comes back.
 * @throws NightlatchError net/*, machine/not-enrolled, machine/bad-state, machine/locked,
 *   machine/revoked, machine/unknown, enrolment/refused, enrolment/malformed, enrolment/untrusted,
 *   pin/busy, file/*
 */
export async function beginSession(
  system: SessionPower,
  stateFolder: string,
  server: EnrolledServer,
  { asksLease = false, ...limits }: AttemptLimits & Partial<Pick<HeartbeatSession, "asksLease">>,
): Promise<HeartbeatSession> {
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const url = `${server.url}/machine/${server.machine}/session`;
  const common = { url, limitBytes: ENROLMENT_BYTES, ...limitsOf(limits) };
  const asked = await system.request({ method: "GET", ...common });
  if (asked.status !== 200) throw refusal(server, asked);
  const challenge = parseChallenge(asked.body);
  const half = makeSessionHalf();
  const request = buildSessionRequest(identity, { challenge, server: server.thumbprint, key: half.key });
  const headers = { "content-type": ENROLMENT_TYPE };
  const answer = await system.request({ method: "POST", headers, body: request, ...common });
  if (answer.status !== 200) throw refusal(server, answer);
  const { session, key } = parseSessionAnswer(answer.body, { request, serverThumbprint: server.thumbprint });
  const transcript = { request, answer: answer.body, machine: server.machine, server: server.thumbprint };
  return { key: sessionKey(half, { peer: key, ...transcript }), name: session, counter: 0, asksLease };
}

/**
 * Sends one heartbeat.
 * @returns what the server made of it, by its own word; null where the session is of no use any
 *   more, and another is to be opened
 * @throws NightlatchError net/*, pin/busy
 */
export async function sendHeartbeat(
  system: Pick<System, "request">,
  server: EnrolledServer,
  session: HeartbeatSession,
  limits: AttemptLimits,
): Promise<Heard | null> {
  if (session.counter >= LAST_COUNTER) return null;
  session.counter++;
  const body = buildHeartbeat(session.key, session.name, session.counter);
  const answer = await system.request({
    method: "POST",
    url: `${server.url}/alive${session.asksLease ? "/lease" : ""}`,
    headers: { "content-type": "application/octet-stream" },
    body,
    limitBytes: ANSWER_BYTES,
    ...limitsOf(limits),
  });
  // One of before it told of leases: it knows no such path. It is asked as ever.
  if (session.asksLease && answer.status === 404 && parseRefusal(answer.body) === null) {
    session.asksLease = false;
    return sendHeartbeat(system, server, session, limits);
  }
  if (answer.status === 429 || answer.status >= 500) throw refusal(server, answer);
  return answer.status === 200 ? parseHeard(session.key, body, answer.body) : null;
}

/** Wipes a session's key. */
export function endSession({ key }: HeartbeatSession): void {
  key.fill(0);
}

function limitsOf({ timeoutMs, signal }: AttemptLimits) {
  return { timeoutMs, ...(signal === undefined ? {} : { signal }) };
}

/** A refusal is not signed: whoever sits in between can refuse, as he can cut the line. */
function refusal({ url, name }: EnrolledServer, { status, body }: HttpResponse): NightlatchError {
  const { host } = new URL(url);
  const code = parseRefusal(body);
  const known = REFUSALS.find((one) => one === code);
  if (known !== undefined) {
    return new NightlatchError(known, `${host} takes no heartbeats of ${name} (${known})`, {
      remedy: `See, at the server: nightlatch machine show ${name}`,
    });
  }
  const told = `status ${status}${code === null ? "" : `, ${code}`}`;
  if (status === 429 || status >= 500)
    return new NightlatchError("pin/busy", `${host} takes no heartbeats now (${told})`);
  return new NightlatchError("enrolment/refused", `${host} takes no heartbeats (${told})`);
}
