// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";

export const command = defineCommand({
  name: "machine uninvite",
  summary: "take an invite back that nobody has used",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `Nobody enrols with it from then on. Where it was used already the command says so and changes nothing: the machine is there, and
nightlatch machine revoke ends it.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["invites", name, "void"]);
    terminal.line(`The invite for ${name} is void: nobody can enrol with it.`);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
