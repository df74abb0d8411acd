// @ts-nocheck
import { trimEndOf } from "../../../core/text.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";

export const command = defineCommand({
  name: "witness ask",
  summary: "have another server cosign this server's log from now on",
  operands: "URL KEY",
  minOperands: 2,
  maxOperands: 2,
  options: { admin: ADMIN_OPTION },
  details: `URL is the other server's address, KEY its key as a witness, as nightlatch witness list shows it there. Have it cosign this log
first: nightlatch witness cosign, there, with this log's key. It is asked within seconds whenever the log has grown. No release waits for it.`,
  async run({ operands, options, system, terminal }) {
    const [url = "", verifier = ""] = operands;
    const wanted = { url: trimEndOf(url, "/"), verifier };
    const answer = await askServer(system, options.admin, "POST", ["witnesses"], wanted);
    terminal.line(
      answer["changed"] === true
        ? "It is asked from now on. See what it says: nightlatch witness list"
        : "It is asked already.",
    );
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
