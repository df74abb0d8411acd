import { isError } from "../../core/errors.ts";
import { ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { parseReport, type Report } from "../../formats/own/report.ts";
import { type Reply, refusal } from "../http/reply.ts";
import { takeReport } from "../service/latches/report.ts";
import type { Service } from "../service/service.ts";

/** Answers `POST /machine/{id}/report`. @throws NightlatchError store/* */
export async function acceptReport(service: Service, machineId: string, body: Buffer, from: string): Promise<Reply> {
  const report = readReport(body);
  if (report?.machine !== machineId) return refusal(400, "request/malformed");
  const outcome = await takeReport(service, { report, body, from });
  if ("refused" in outcome) return refusal(outcome.refused === "machine/unknown" ? 404 : 403, outcome.refused);
  return { status: 200, headers: ["content-type", ENROLMENT_TYPE], body: outcome.answer };
}

function readReport(body: Buffer): Report | null {
  try {
    return parseReport(body);
  } catch (error) {
    if (isError(error, "enrolment/malformed")) return null;
    throw error;
  }
}
