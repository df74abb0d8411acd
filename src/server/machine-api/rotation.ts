import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { parseRotationRequest, type RotationRequest } from "../../formats/own/rotation.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { type RotationRefusal, takeRotation } from "../service/latches/rotation-request.ts";
import type { Service } from "../service/service.ts";

const STATUS: Readonly<Record<RotationRefusal, number>> = {
  "machine/unknown": 404,
  "machine/locked": 403,
  "machine/revoked": 403,
  "latch/unknown": 404,
  "lease/other-server": 400,
};

/** Answers `POST /machine/{id}/rotation`. @throws NightlatchError store/* */
export async function acceptRotation(service: Service, machineId: string, body: Buffer, from: string): Promise<Reply> {
  const request = readRequest(body);
  if (request?.machine !== machineId) return refusal(400, "request/malformed");
  const outcome = await takeRotation(service, { request, body, from });
  if ("refused" in outcome) return refusal(STATUS[outcome.refused], outcome.refused);
  return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
}

function readRequest(body: Buffer): RotationRequest | null {
  try {
    return parseRotationRequest(body);
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return null;
    throw error;
  }
}
