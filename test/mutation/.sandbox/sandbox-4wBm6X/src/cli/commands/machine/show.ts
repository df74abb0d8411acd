// @ts-nocheck
import type { Json, JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { timeText } from "../../time-text.ts";
import { heardCell, policyCell, releaseCells, stateCell, unreadHint } from "./list.ts";

export const command = defineCommand({
  name: "machine show",
  summary: "one machine, its latches, and when each was last released or refused",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "GET", ["machines", name]);
    const machine = answer["machine"] as JsonObject;
    const latches = answer["latches"] as JsonObject[];
    terminal.line(`${String(machine["name"])}: ${stateCell(machine)}, enrolled ${timeText(machine["enrolled"])}`);
    terminal.line(`id ${String(machine["id"])}`);
    const whose = machine["policyOf"] === "group" ? " of its group" : "";
    if (typeof machine["group"] === "string") terminal.line(`in the group ${machine["group"]}`);
    terminal.line(`policy${whose} ${policyCell(machine)}, last heard ${heardCell(machine)}`);
    const lease = (machine["lease"] ?? {}) as JsonObject;
    const isUsed = (latch: JsonObject) =>
      lease["number"] !== undefined && latch["releasedInLease"] === lease["number"] ? ", released in this lease" : "";
    const isTurning = (latch: JsonObject) => (typeof latch["former"] === "number" ? ", former keys too" : "");
    const rows = latches.map((latch) => [
      ...[latch["id"], `${String(latch["state"])}${isUsed(latch)}${isTurning(latch)}`, latch["volume"]].map(String),
      ...releaseCells(latch["lastRelease"]),
    ]);
    terminal.line(formatTable(["LATCH", "STATE", "VOLUME", "LAST RELEASE", "TO"], rows));
    const refusals = [
      refusalLine("Refused", machine["lastRefusal"]),
      ...latches.map((latch) => refusalLine(`Volume ${String(latch["volume"])}: refused`, latch["lastRefusal"])),
    ];
    for (const line of refusals) if (line !== null) terminal.line(line);
    terminal.line(`More: nightlatch audit tail --machine ${String(machine["name"])}`);
    if (Number(answer["unread"]) > 0) terminal.hint(unreadHint(answer["unread"]));
    terminal.result({ ok: true, machine, latches, unread: answer["unread"] ?? 0 });
    return 0;
  },
});

function refusalLine(what: string, refusal: Json | undefined): string | null {
  const { at, from, reason, more } = (refusal ?? {}) as JsonObject;
  if (at === undefined) return null;
  const often = Number(more) > 0 ? `, ${Number(more)} times more until then` : "";
  return `${what} last at ${timeText(at)}${typeof from === "string" ? `, ${from}` : ""}${often} [${String(reason)}]`;
}
