// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";

export const command = defineCommand({
  name: "witness cosign",
  summary: "cosign the log of another server from now on",
  operands: "KEY",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `KEY is the other log's key, as nightlatch witness list shows it there. From then on this server signs each checkpoint of that log
that it is shown, if the log has grown from the one before; what does not fit is refused, and noted in this server's log.`,
  async run({ operands, options, system, terminal }) {
    const [verifier = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["witnesses"], { verifier });
    terminal.line(
      answer["changed"] === true
        ? "It is cosigned from now on, as soon as its server asks: nightlatch witness ask, there"
        : "It is cosigned already.",
    );
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
