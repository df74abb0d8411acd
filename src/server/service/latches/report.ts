import { buildReportAnswer, type Report } from "../../../formats/own/report.ts";
import type { Service } from "../service.ts";

/** What is answered: a signed message, or a refusal. */
type ReportOutcome = { readonly answer: Buffer } | { readonly refused: "machine/unknown" | "machine/revoked" };

/**
 * Puts into the log that a machine has found another volume than the one that it had bound:
 * docs/format/bound.md, "The report". It is counted as refusals are, so that neither the machine
 * nor whoever sends its report again can fill the log. Whoever is no machine of this server's
 * leaves nothing there. It changes nothing else.
 * @throws NightlatchError store/*
 */
export async function takeReport(
  service: Service,
  received: { readonly report: Report; readonly body: Uint8Array; readonly from: string },
): Promise<ReportOutcome> {
  const { report, body, from } = received;
  const refused = await service.queue.submit<ReportOutcome | null>(async (transaction) => {
    const machine = await transaction.machine(report.machine);
    if (machine === null) return { outcome: { refused: "machine/unknown" }, entries: [] };
    if (machine.state === "revoked") return { outcome: { refused: "machine/revoked" }, entries: [] };
    const latches = await transaction.latchesOf(machine.id);
    const subject = latches.find(({ volume }) => volume === report.volume)?.id ?? machine.id;
    const entry = service.refusals.count({ reason: report.reason, subject }, from, service.system.nowMs());
    return { outcome: null, entries: entry === null ? [] : [entry] };
  });
  return refused ?? { answer: buildReportAnswer(service.identity, body) };
}
