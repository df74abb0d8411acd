// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { hintUnrecorded } from "../machine/governed.ts";

export const command = defineCommand({
  name: "site hold",
  summary: "release nobody of a site until it is released",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `A site is a group of machines (nightlatch group). While it is held, none of them is released, whatever its policy is; nor from
the moment in which this is asked. A site is held by itself when machines of it whose policy is alive fall silent together:
two at least, and half of those that were there. They are not locked then, as one that falls silent alone is.
It ends with nightlatch site release.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["groups", name, "hold"]);
    terminal.line(
      answer["changed"] === true
        ? `The site ${name} is held: nobody of it is released. To let them in: nightlatch site release ${name}`
        : `The site ${name} was held already.`,
    );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
