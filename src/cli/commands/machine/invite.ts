import { NightlatchError } from "../../../core/errors.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "machine invite",
  summary: "make an invite, with which a machine enrols",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: {
    expires: { value: "TIME", help: "how long the invite is good for, such as 15m, 1h, 2d", default: "1h" },
    admin: ADMIN_OPTION,
  },
  details: `Prints one line. On the machine: nightlatch bind DEV latch LINE
The invite is good for one machine, once. It opens no disk; but who gets hold of it first can enrol a machine of theirs as NAME.
A second invite for the same name makes the first one void; so does nightlatch machine uninvite NAME.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const lifetimeMs = parseDuration(options.expires);
    const answer = await askServer(system, options.admin, "POST", ["invites"], { name, lifetimeMs });
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

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A whole number and a unit. @throws NightlatchError usage/wrong */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit ?? ""];
  if (digits !== undefined && unitMs !== undefined) return Number(digits) * unitMs;
  throw new NightlatchError("usage/wrong", `--expires ${text} is not a time`, {
    remedy: "Give a number and a unit: s, m, h or d, such as 90m.",
  });
}
