// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { type ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { describeFailure } from "../../report.ts";
import { changedName, hintUnrecorded } from "../machine/governed.ts";
import { policyCell } from "../machine/list.ts";

type Input = Omit<CommandInput<{ readonly admin: typeof ADMIN_OPTION }>, "operands">;

/**
 * Puts one machine after the other into a group; null: into none. One that fails does not keep the
 * others from it.
 */
export async function moveEach(
  machines: readonly string[],
  group: string | null,
  { options, system, terminal }: Input,
): Promise<ExitStatus> {
  const results: Record<string, unknown>[] = [];
  let isWell = true;
  for (const machine of machines) {
    try {
      const ask = (verb: string, body?: JsonObject) =>
        askServer(system, options.admin, "POST", ["machines", machine, verb], body);
      const answer = await (group === null ? ask("leave") : ask("join", { group }));
      const where = group === null ? "in no group" : `in the group ${group}`;
      const policy = policyCell(answer["machine"] as JsonObject);
      terminal.line(
        answer["changed"] === true
          ? `${changedName(answer)} is ${where}. Its policy: ${policy}.`
          : `${changedName(answer)} was ${where} already.`,
      );
      hintUnrecorded(terminal, answer);
      results.push({ ok: true, ...answer });
    } catch (error) {
      if (machines.length === 1 || isError(error, "admin/unreachable")) throw error;
      isWell = false;
      const { text, json } = describeFailure(error);
      terminal.hint(text);
      results.push({ operand: machine, ...json });
    }
  }
  terminal.result(machines.length === 1 ? (results[0] ?? {}) : { ok: isWell, results });
  return isWell ? 0 : 1;
}
