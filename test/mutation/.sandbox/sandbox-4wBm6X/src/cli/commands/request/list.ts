// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "request list",
  summary: "the machines that wait for an operator's approval",
  options: { admin: ADMIN_OPTION },
  details: `A machine whose policy is approval asks for it by itself when it wants its key, and again and again until it is released.
Whoever has a copy of its disk can ask as well: so look at the address, and whether you expect the machine to boot.`,
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options.admin, "GET", ["requests"]);
    const requests = answer["requests"] as JsonObject[];
    if (requests.length === 0) terminal.line("Nothing waits.");
    else {
      const rows = requests.map((request) => [
        ...[request["id"], request["machine"], request["from"]].map(String),
        stateCell(request),
        ...[request["created"], request["lastAsked"], request["expires"]].map((at) =>
          at === null ? "-" : timeText(at),
        ),
      ]);
      terminal.line(formatTable(["ID", "MACHINE", "FROM", "STATE", "FIRST ASKED", "LAST ASKED", "EXPIRES"], rows));
    }
    terminal.result({ ok: true, requests });
    return 0;
  },
});

function stateCell({ state, of, approvedBy }: JsonObject): string {
  if (state === "denied") return "denied";
  const voters = approvedBy as number[];
  const users = voters.length === 0 ? "" : `, by user ${voters.join(", ")}`;
  return `waits, ${voters.length} of ${String(of)}${users}`;
}
