// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";
import { hintUnrecorded } from "../machine/governed.ts";

export const command = defineCommand({
  name: "request deny",
  summary: "say no to a machine that waits",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `One operator is enough. It holds until the request expires; then the machine may ask anew. Should it be a thief who asks, lock
the machine (nightlatch machine lock) or revoke it: that ends what was approved before, too.`,
  async run({ operands, options, system, terminal }) {
    const [named = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["requests", named, "deny"]);
    const { id, machine, from, expires } = answer["request"] as JsonObject;
    const until = `until ${timeText(expires)}`;
    terminal.line(
      answer["changed"] === true
        ? `${String(machine)} at ${String(from)} is denied ${until}.`
        : `The request ${String(id)} of ${String(machine)} was denied already, ${until}.`,
    );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
