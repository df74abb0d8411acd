// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE, NONCE_BYTES } from "../../formats/own/enrolment.ts";
import { buildReport, type ReportReason, requireReportAnswer } from "../../formats/own/report.ts";
import type { BoundLatch } from "../../formats/own/volume-record.ts";
import type { System } from "../../system/port.ts";
import { type EnrolledServer, listServers, readIdentity } from "./machine.ts";

/** What it takes to report to a server. */
export type ReportPower = Pick<System, "readFile" | "readFileIfPresent" | "listDirectory" | "request" | "random">;

/**
 * Lists the servers that a report about a volume goes to: those of its latches, or all that the
 * machine is enrolled at where it knows none of those.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function serversToTell(
  system: ReportPower,
  stateFolder: string,
  latches: readonly BoundLatch[],
): Promise<readonly EnrolledServer[]> {
  const servers = await listServers(system, stateFolder);
  const own = servers.filter(({ thumbprint }) => latches.some(({ server }) => server === thumbprint));
  return own.length > 0 ? own : servers;
}

/**
 * Tells one server, once: docs/format/bound.md, "The report". When it returns, the server has
 * confirmed it with its own signature.
 * @throws NightlatchError net/*, machine/not-enrolled, machine/bad-state, enrolment/refused,
 *   enrolment/malformed, enrolment/untrusted, file/*
 */
export async function sendReport(
  system: ReportPower,
  stateFolder: string,
  { url, thumbprint, machine }: EnrolledServer,
  what: { readonly volume: string; readonly reason: ReportReason },
  { timeoutMs, signal }: AttemptLimits,
): Promise<void> {
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const report = buildReport(identity, { nonce: system.random(NONCE_BYTES), ...what });
  const { status, body } = await system.request({
    method: "POST",
    url: `${url}/machine/${machine}/report`,
    headers: { "content-type": ENROLMENT_TYPE },
    body: report,
    limitBytes: ENROLMENT_BYTES,
    timeoutMs: timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  const { host } = new URL(url);
  if (status !== 200) {
    throw new NightlatchError("enrolment/refused", `${host} did not take the report (status ${status})`);
  }
  try {
    requireReportAnswer(body, { report, serverThumbprint: thumbprint });
  } catch (error) {
    if (!isError(error)) throw error;
    throw new NightlatchError(error.code, `${host}: ${error.message}`);
  }
}
