// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";
import { hintUnrecorded } from "../machine/governed.ts";

export const command = defineCommand({
  name: "request approve",
  summary: "have a machine released that waits for it",
  operands: "ID|NAME@ADDRESS",
  minOperands: 1,
  maxOperands: 1,
  options: { admin: ADMIN_OPTION },
  details: `When as many different operators as its policy says have approved, the machine is released to that one address: each of its
latches once within 10 minutes, and again for a minute, since an answer can be lost on the way. Operators are told apart by
their user id, so everybody who uses sudo counts as root. ID is one that request list shows. NAME@ADDRESS approves in
advance, of planned work for example: the machine need not have asked.

  nightlatch request approve 5f0c91ab
  nightlatch request approve hsm@192.0.2.7`,
  async run({ operands, options, system, terminal }) {
    const [named = ""] = operands;
    const answer = await askServer(system, options.admin, "POST", ["requests", named, "approve"]);
    const request = answer["request"] as JsonObject;
    const { name, lease } = answer["machine"] as JsonObject;
    const where = `${String(name)} at ${String(request["from"])}`;
    const missing = Number(request["of"]) - (request["approvedBy"] as number[]).length;
    if (answer["opened"] === true)
      terminal.line(`${where} is released until ${timeText((lease as JsonObject)["until"])}, each latch once.`);
    else {
      const more = `${missing} more ${missing === 1 ? "operator" : "operators"} must approve, until ${timeText(request["expires"])}`;
      terminal.line(
        answer["changed"] === true
          ? `Approved of ${where}. ${more}: nightlatch request approve ${String(request["id"])}`
          : `You have approved of ${where} already. ${more}; you count once.`,
      );
    }
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
