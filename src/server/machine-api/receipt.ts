import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { parseReceiptRequest, type ReceiptRequest } from "../../formats/own/receipt.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { giveReceipt, type ReceiptRefusal } from "../service/log/receipt.ts";
import type { Service } from "../service/service.ts";

const STATUS: Readonly<Record<ReceiptRefusal, number>> = {
  "machine/unknown": 404,
  "machine/revoked": 403,
  "receipt/other-server": 400,
  "receipt/too-many": 429,
};

/** Answers `POST /machine/{id}/receipt`. @throws NightlatchError store/* */
export async function answerReceipt(service: Service, machineId: string, body: Buffer): Promise<Reply> {
  const request = readRequest(body);
  if (request?.machine !== machineId) return refusal(400, "request/malformed");
  const outcome = await giveReceipt(service, { request, body });
  if ("refused" in outcome) return refusal(STATUS[outcome.refused], outcome.refused);
  return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
}

function readRequest(body: Buffer): ReceiptRequest | null {
  try {
    return parseReceiptRequest(body);
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return null;
    throw error;
  }
}
