// @ts-nocheck
import { printable } from "../../../core/text.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "witness list",
  summary: "this server's keys as a log and as a witness; who cosigns its log, and which logs it cosigns",
  options: { admin: ADMIN_OPTION },
  details: `Two servers that cosign each other's logs: neither's administrator alone can rewrite one. At a, with the keys that b shows, and at
b the other way round:

  a# nightlatch witness list
  b# nightlatch witness cosign LOG-KEY-OF-A
  a# nightlatch witness ask http://b:7654 WITNESS-KEY-OF-B

A machine says in its agent.toml, under [witness], whose signature it wants.`,
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options.admin, "GET", ["witnesses"]);
    const witnesses = answer["witnesses"] as JsonObject[];
    const logs = answer["logs"] as JsonObject[];
    terminal.line(`This log's key:     ${String(answer["log"])}`);
    terminal.line(`This witness's key: ${String(answer["witness"])}`);
    if (witnesses.length > 0) {
      const rows = witnesses.map((row) => [text(row["name"]), text(row["url"]), text(row["size"]), lastOf(row)]);
      terminal.line(`\n${formatTable(["ASKED TO COSIGN", "AT", "ENTRIES", "LAST"], rows)}`);
    }
    if (logs.length > 0) {
      const rows = logs.map((row) => [text(row["origin"]), text(row["size"]), whenOf(row)]);
      terminal.line(`\n${formatTable(["COSIGNED HERE", "ENTRIES", "LAST"], rows)}`);
    }
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});

function lastOf(row: JsonObject): string {
  const failure = row["failure"] as JsonObject | null;
  if (failure === null) return whenOf(row);
  return `${whenOf(row)}; ${text(failure["message"])} [${text(failure["error"])}]`;
}

function whenOf({ at }: JsonObject): string {
  return at === null ? "never" : timeText(at);
}

function text(value: JsonObject[string] | undefined): string {
  return printable(String(value), 300);
}
