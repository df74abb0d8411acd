// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { heardCell, policyCell, stateCell } from "../machine/list.ts";
import { termsCell } from "./list.ts";

export const command = defineCommand({
  name: "group show",
  summary: "one group, its machines, and where the policy of each comes from",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "GET", ["groups", name]);
    const group = answer["group"] as JsonObject;
    const machines = answer["machines"] as JsonObject[];
    terminal.line(`${String(group["name"])}: policy ${termsCell(group)}`);
    if (machines.length > 0) {
      const rows = machines.map((machine) => [
        String(machine["name"]),
        stateCell(machine),
        policyCell(machine),
        WHOSE[String(machine["policyOf"])] ?? "",
        heardCell(machine),
      ]);
      terminal.line(formatTable(["NAME", "STATE", "POLICY", "SAID OF", "LAST HEARD"], rows));
    }
    terminal.result({ ok: true, group, machines });
    return 0;
  },
});

const WHOSE: Readonly<Record<string, string>> = {
  machine: "the machine itself",
  group: "its group",
  default: "new machines",
};
