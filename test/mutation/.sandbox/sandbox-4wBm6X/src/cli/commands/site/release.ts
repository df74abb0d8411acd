// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";
import { hintUnrecorded, parseTime } from "../machine/governed.ts";

export const command = defineCommand({
  name: "site release",
  summary: "let the machines of a site in again that is held, at a rate",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: {
    rate: { value: "N/UNIT", help: "so many machines a second, minute or hour: s, m, h", default: "60/m" },
    for: { value: "TIME", help: "for how long", default: "1h" },
    admin: ADMIN_OPTION,
  },
  details: `One word for all machines of the site, such as after a power cut. Each machine counts once, and none more often than the rate
says: one every second with 60/m. What fell silent with the site comes back from where it had been alive: the same IPv4
address, or the same IPv6 /64. From elsewhere it stays out, and so does what was locked before or fell silent alone:
nightlatch machine unlock. What has not come back when the time is over is locked.
Look at nightlatch site list before: whether as many are gone as should be. A second site release changes the rate and the
time; nightlatch site hold ends it.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const rate = parseRate(options.rate);
    const body = { ...rate, openMs: parseTime(options.for) };
    const answer = await askServer(system, options.admin, "POST", ["groups", name, "release"], body);
    const { gone, site } = answer["group"] as JsonObject;
    const { until } = (site as JsonObject)["open"] as JsonObject;
    terminal.line(
      `The site ${name} is released, ${options.rate}, until ${timeText(until)}. Gone with it: ${String(gone)}.`,
    );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** @throws NightlatchError usage/wrong */
function parseRate(text: string): JsonObject {
  const [, count = "", unit = ""] = /^(\d{1,5})\/([smh])$/.exec(text) ?? [];
  const perMs = UNITS_MS[unit];
  if (perMs !== undefined) return { count: Number(count), perMs };
  throw new NightlatchError("usage/wrong", `${text} is not a rate`, {
    remedy: "Give a number of machines and a unit: s, m or h, such as 60/m.",
  });
}
