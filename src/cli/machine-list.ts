import type { JsonObject } from "../formats/json.ts";
import type { Command } from "./command.ts";
import { ADMIN_OPTION, askServer } from "./machine-client.ts";
import { formatTable } from "./table.ts";

export const command: Command = {
  name: "machine list",
  summary: "the machines that the server knows, and open invites",
  options: [ADMIN_OPTION],
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options["admin"] ?? "", "GET", ["machines"]);
    const machines = answer["machines"] as JsonObject[];
    const invites = answer["invites"] as JsonObject[];
    if (machines.length === 0) terminal.line("No machine is enrolled. Make an invite: nightlatch machine invite NAME");
    else {
      const rows = machines.map((m) => [m["name"], m["state"], m["enrolled"], m["id"]].map(String));
      terminal.line(formatTable(["NAME", "STATE", "ENROLLED", "ID"], rows));
    }
    for (const invite of invites) {
      const until = invite["expired"] === true ? "has expired, at" : "is open until";
      terminal.line(`The invite for ${String(invite["name"])} ${until} ${String(invite["expires"])}.`);
    }
    terminal.result({ ok: true, machines, invites });
    return 0;
  },
};
