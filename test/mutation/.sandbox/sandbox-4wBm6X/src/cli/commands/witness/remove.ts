// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";

export const command = defineCommand({
  name: "witness remove",
  summary: "ask a witness no more, or cosign a log no more",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `NAME is the name of a witness or of a log, as nightlatch witness list shows it. What was signed is forgotten: a log that is cosigned
again later begins anew, also where it is another one by then. So first ask who runs it why its log has not grown, and look at it:
nightlatch audit verify, there.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["witnesses", name, "remove"]);
    terminal.line(
      answer["removed"] === "log" ? "That log is cosigned here no more." : "That witness is asked no more.",
    );
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
