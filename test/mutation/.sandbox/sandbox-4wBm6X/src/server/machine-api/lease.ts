// @ts-nocheck
import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { buildChallenge, type LeaseRequest, parseLeaseRequest } from "../../formats/own/lease.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { challenge, type LeaseRefusal, takeAnnouncement } from "../service/leases.ts";
import type { Service } from "../service/service.ts";

const STATUS: Readonly<Record<LeaseRefusal, number>> = {
  "machine/unknown": 404,
  "machine/locked": 403,
  "machine/revoked": 403,
  "lease/needs-approval": 403,
  "lease/stale": 409,
  "lease/too-many": 429,
  "lease/other-server": 400,
};

/** Answers `GET /machine/{id}/lease`. @throws NightlatchError store/* */
export async function giveChallenge(service: Service, machineId: string): Promise<Reply> {
  const body = buildChallenge(await challenge(service, machineId));
  return { status: 200, headers: ["content-type", "application/json"], body };
}

/** Answers `POST /machine/{id}/lease`. @throws NightlatchError store/* */
export async function acceptLease(service: Service, machineId: string, body: Buffer, from: string): Promise<Reply> {
  const request = readRequest(body);
  if (request?.machine !== machineId) return refusal(400, "request/malformed");
  const outcome = await takeAnnouncement(service, { request, body, from });
  if ("refused" in outcome) return refusal(STATUS[outcome.refused], outcome.refused);
  return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
}

function readRequest(body: Buffer): LeaseRequest | null {
  try {
    return parseLeaseRequest(body);
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return null;
    throw error;
  }
}
