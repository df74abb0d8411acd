// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { hintUnrecorded } from "../machine/governed.ts";

export const command = defineCommand({
  name: "group add",
  summary: "make a group of machines",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `A group is of machines that are on one place: what is said of it holds for all of them.

  nightlatch group add home
  nightlatch group join home nas web
  nightlatch group policy home alive --timeout 5m`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["groups"], { name });
    terminal.line(
      answer["changed"] === true
        ? `The group ${name} is there. Put machines into it: nightlatch group join ${name} MACHINE...`
        : `There is a group ${name} already.`,
    );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
