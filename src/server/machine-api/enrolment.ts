import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE, parseEnrolRequest, parseLatchRequest } from "../../formats/own/enrolment.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { addLatch, type EnrolOutcome, type EnrolRefusal, enrol } from "../service/latches/enrol.ts";
import type { Service } from "../service/service.ts";

const STATUS: Readonly<Record<EnrolRefusal, number>> = {
  "invite/unknown": 403,
  "invite/used": 409,
  "invite/expired": 410,
  "invite/other-machine": 409,
  "machine/unknown": 404,
  "machine/locked": 403,
  "machine/revoked": 403,
  "machine/full": 403,
  "latch/revoked": 410,
};

/** Answers `POST /enroll`. @throws NightlatchError store/* */
export function acceptEnrolment(service: Service, body: Buffer, from: string): Promise<Reply> {
  return orMalformed(async () => replyTo(await enrol(service, { request: parseEnrolRequest(body), body, from })));
}

/** Answers `POST /machine/{id}/latch`. @throws NightlatchError store/* */
export function acceptLatch(service: Service, machineId: string, body: Buffer, from: string): Promise<Reply> {
  return orMalformed(async () => {
    const request = parseLatchRequest(body);
    if (request.machine !== machineId) return refusal(400, "request/malformed");
    return replyTo(await addLatch(service, { request, body, from }));
  });
}

async function orMalformed(work: () => Promise<Reply>): Promise<Reply> {
  try {
    return await work();
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return refusal(400, "request/malformed");
    throw error;
  }
}

function replyTo(outcome: EnrolOutcome): Reply {
  if ("refused" in outcome) return refusal(STATUS[outcome.refused], outcome.refused);
  return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
}
