import { defineCommand } from "../../command.ts";
import { parseExpires } from "../../expires.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "machine invite",
  summary: "make an invite, with which a machine enrols",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: {
    group: { value: "GROUP", help: "the group that the machine will be in, with what is said of it, from the start" },
    expires: { value: "TIME", help: "how long the invite is good for, such as 15m, 1h, 2d", default: "1h" },
    admin: ADMIN_OPTION,
  },
  details: `Prints one line, which nightlatch bind DEV latch LINE uses on the machine.
The invite is good for one machine, once. It opens no disk; but who gets hold of it first can enrol a machine of theirs as NAME.
A second invite for the same name makes the first one void; so does nightlatch machine uninvite NAME.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const lifetimeMs = parseExpires(options.expires);
    const answer = await askServer(system, options.admin, "POST", ["invites"], {
      name,
      lifetimeMs,
      ...(options.group === undefined ? {} : { group: options.group }),
    });
    if (answer["replaced"] === true) terminal.hint(`The earlier invite for ${name} is void now.`);
    terminal.hint(
      `Good for one machine until ${timeText(answer["expires"])}, at ${String(answer["url"])}. Paste on ${name}:`,
    );
    terminal.hint(`  nightlatch bind DEV latch INVITE`);
    terminal.line(String(answer["invite"]));
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
