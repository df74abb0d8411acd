/** A machine's heartbeats, for tests of the service in this process. */
import { identityThumbprint } from "../../../src/formats/own/enrolment.ts";
import { buildHeartbeat, type Heard, parseHeard } from "../../../src/formats/own/heartbeat.ts";
import {
  buildSessionRequest,
  makeSessionHalf,
  parseSessionAnswer,
  parseSessionRequest,
  type SessionHalf,
  sessionKey,
} from "../../../src/formats/own/session.ts";
import { takeHeartbeat } from "../../../src/server/service/alive/heartbeats.ts";
import { openHeartbeatSession, sessionChallenge } from "../../../src/server/service/alive/sessions.ts";
import type { Service } from "../../../src/server/service/service.ts";
import type { TestMachine } from "./harness.ts";

/** Where machines send from, unless a test says otherwise. */
const FROM = "192.0.2.1";

/** A machine's side of a session. */
export interface TestSession {
  readonly key: Buffer;
  readonly name: Buffer;
  counter: number;
}

/** Writes a request for a session, over a challenge that is asked for now. */
export function sessionRequest(
  service: Service,
  machine: TestMachine,
): { readonly body: Buffer; readonly half: SessionHalf } {
  const half = makeSessionHalf();
  const challenge = sessionChallenge(service, machine.id);
  const server = identityThumbprint(service.identity);
  return { body: buildSessionRequest(machine.identity, { challenge, server, key: half.key }), half };
}

/** Sends a request for a session. Gives the session, or the code where it is refused. */
export async function sendSession(
  service: Service,
  machine: TestMachine,
  { body, half }: ReturnType<typeof sessionRequest>,
  from = FROM,
): Promise<TestSession | string> {
  const outcome = await openHeartbeatSession(service, { request: parseSessionRequest(body), body, from });
  if ("refused" in outcome) return outcome.refused;
  const server = identityThumbprint(service.identity);
  const { session, key } = parseSessionAnswer(outcome.answer, { request: body, serverThumbprint: server });
  const transcript = { request: body, answer: outcome.answer, machine: machine.id, server };
  return { key: sessionKey(half, { peer: key, ...transcript }), name: session, counter: 0 };
}

/** Opens a session. @throws Error where it is refused */
export async function sessionOf(service: Service, machine: TestMachine, from = FROM): Promise<TestSession> {
  const session = await sendSession(service, machine, sessionRequest(service, machine), from);
  if (typeof session === "string") throw new Error(session);
  return session;
}

/** The next heartbeat of a session. */
export function nextBeat(session: TestSession): Buffer {
  session.counter++;
  return buildHeartbeat(session.key, session.name, session.counter);
}

/** Sends bytes as a heartbeat. Gives the verified answer, or the code where it is refused. */
export async function sendBeat(
  service: Service,
  session: TestSession,
  body: Buffer,
  { from = FROM, asksLease = false }: { readonly from?: string; readonly asksLease?: boolean } = {},
): Promise<Heard | string> {
  const outcome = await takeHeartbeat(service, body, from, asksLease);
  if ("refused" in outcome) return outcome.refused;
  const heard = parseHeard(session.key, body, outcome.answer);
  if (heard === null) throw new Error("the answer is not the server's");
  return heard;
}

/** Sends the next heartbeat. */
export const beat = (service: Service, session: TestSession, from = FROM): Promise<Heard | string> =>
  sendBeat(service, session, nextBeat(session), { from });
