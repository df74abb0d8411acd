// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUndestroyed, hintUnrecorded } from "./governed.ts";

export const command = defineCommand({
  name: "machine rotate",
  summary: "give a machine's latches new keys, and end the former ones",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: {
    finish: { help: "destroy the former keys now: what is bound to them alone opens by them no more" },
    admin: ADMIN_OPTION,
  },
  details: `Each latch gets the keys of its next epoch, and the former keys are released as before. The machine binds its volumes to the new ones
within a day, or at once by nightlatch rotate there, and says so once it needs the former no more: for a volume that its initramfs opens,
once it has booted by the new. Then they are destroyed, and no older copy of its header opens anything.
--finish does that for a machine that cannot say so. It is root's. A binding that has not followed opens nothing from then on, and
nothing brings the former keys back: the passphrase opens the volume, and nightlatch bind --replace binds it anew.`,
  async run({ operands, options, system, terminal }) {
    const [name = ""] = operands;
    const verb = options.finish ? "finish" : "rotate";
    const answer = await askServer(system, options.admin, "POST", ["machines", name, verb]);
    const latches = answer["latches"] as JsonObject[];
    const turning = latches.filter(({ former }) => typeof former === "number").length;
    const machine = changedName(answer);
    terminal.line(options.finish ? finished(machine, answer) : begun(machine, answer, turning));
    if (options.finish) hintUndestroyed(terminal, answer);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});

function begun(machine: string, { changed }: JsonObject, turning: number): string {
  if (turning === 0) return `${machine} has no latch that could be rotated.`;
  const keys = `${turning} ${turning === 1 ? "latch" : "latches"} with new keys`;
  const what = changed === true ? `${machine} has ${keys}` : `${machine} had ${keys} already`;
  return `${what}, and is released by the former ones too until it has bound anew.`;
}

function finished(machine: string, { changed }: JsonObject): string {
  return changed === true
    ? `The former keys of ${machine} are destroyed.`
    : `${machine} has no former keys: nothing was changed.`;
}
