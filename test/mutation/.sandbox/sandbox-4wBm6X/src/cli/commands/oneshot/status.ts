// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { defineCommand } from "../../command.ts";
import { lookForOneshot, oneshotJson, oneshotLines } from "./report.ts";

export const command = defineCommand({
  name: "oneshot status",
  summary: "what is armed, until when, and where its keys lie",
  maxOperands: 0,
  options: {},
  details: "Changes nothing. The status is 1 where it cannot be told.",
  async run({ system, terminal }) {
    const found = await lookForOneshot(system);
    for (const line of found === null ? ["Nothing is armed."] : oneshotLines(found)) terminal.line(line);
    const ok = !(found instanceof NightlatchError);
    terminal.result({ ok, oneshot: oneshotJson(found) });
    return ok ? 0 : 1;
  },
});
