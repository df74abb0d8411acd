import type { JsonObject } from "../formats/json.ts";
import type { Command } from "./command.ts";
import { ADMIN_OPTION, askServer } from "./machine-client.ts";
import { formatTable } from "./table.ts";

export const command: Command = {
  name: "machine show",
  summary: "one machine and its latches",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: [ADMIN_OPTION],
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options["admin"] ?? "", "GET", ["machines", name]);
    const machine = answer["machine"] as JsonObject;
    const latches = answer["latches"] as JsonObject[];
    terminal.line(`${String(machine["name"])}: ${String(machine["state"])}, enrolled ${String(machine["enrolled"])}`);
    terminal.line(`id ${String(machine["id"])}`);
    const rows = latches.map((l) => [l["id"], l["state"], l["volume"], l["created"]].map(String));
    terminal.line(formatTable(["LATCH", "STATE", "VOLUME", "CREATED"], rows));
    terminal.result({ ok: true, machine, latches });
    return 0;
  },
};
