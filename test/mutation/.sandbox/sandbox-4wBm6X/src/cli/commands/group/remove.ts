// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { hintUnrecorded } from "../machine/governed.ts";

export const command = defineCommand({
  name: "group remove",
  summary: "remove a group that has no machines",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["groups", name, "remove"]);
    terminal.line(`The group ${name} is gone.`);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
