// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { policyCell } from "../machine/list.ts";

export const command = defineCommand({
  name: "group list",
  summary: "the groups of machines, and what is said of each",
  options: { admin: ADMIN_OPTION },
  details: "The group default is of no machine that is there: it says what a machine begins with that enrols.",
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options.admin, "GET", ["groups"]);
    const groups = answer["groups"] as JsonObject[];
    const rows = groups.map((group) => [String(group["name"]), termsCell(group), String(group["machines"])]);
    terminal.line(formatTable(["GROUP", "POLICY", "MACHINES"], rows));
    terminal.result({ ok: true, groups });
    return 0;
  },
});

/** What is said of a group. */
export function termsCell(group: JsonObject): string {
  return group["policy"] === null ? "none of its own" : policyCell(group);
}
