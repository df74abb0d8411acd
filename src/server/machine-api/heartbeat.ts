import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { buildChallenge } from "../../formats/own/lease.ts";
import { parseSessionRequest } from "../../formats/own/session.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { type HeartbeatOutcome, type HeartbeatRefusal, takeHeartbeat } from "../service/alive/heartbeats.ts";
import { openHeartbeatSession, type SessionRefusal, sessionChallenge } from "../service/alive/sessions.ts";
import type { Service } from "../service/service.ts";

const STATUS: Readonly<Record<SessionRefusal | HeartbeatRefusal, number>> = {
  "machine/unknown": 404,
  "machine/locked": 403,
  "machine/revoked": 403,
  "session/stale": 409,
  "session/too-many": 429,
  "session/other-server": 400,
  "session/unknown": 404,
  "session/replayed": 409,
  "session/other-address": 403,
};

/** Answers `GET /machine/{id}/session`. */
export function giveSessionChallenge(service: Service, machineId: string): Reply {
  const body = buildChallenge(sessionChallenge(service, machineId));
  return { status: 200, headers: ["content-type", "application/json"], body };
}

/** Answers `POST /machine/{id}/session`. @throws NightlatchError store/* */
export async function acceptSession(service: Service, machineId: string, body: Buffer, from: string): Promise<Reply> {
  try {
    const request = parseSessionRequest(body);
    if (request.machine !== machineId) return refusal(400, "request/malformed");
    const outcome = await openHeartbeatSession(service, { request, body, from });
    if ("refused" in outcome) return refusal(STATUS[outcome.refused], outcome.refused);
    return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return refusal(400, "request/malformed");
    throw error;
  }
}

/** Answers `POST /alive`, and `POST /alive/lease`. @throws NightlatchError store/* */
export function acceptHeartbeat(
  service: Service,
  body: Buffer,
  from: string,
  asksLease: boolean,
): Promise<Reply> | Reply {
  const outcome = takeHeartbeat(service, body, from, asksLease);
  return outcome instanceof Promise ? outcome.then(replyTo) : replyTo(outcome);
}

function replyTo(outcome: HeartbeatOutcome): Reply {
  if ("answer" in outcome) return { status: 200, headers: HEARD, body: outcome.answer };
  const { refused } = outcome;
  return refused === "malformed" ? refusal(400, "request/malformed") : refusal(STATUS[refused], refused);
}

const HEARD = ["content-type", "application/octet-stream"];
