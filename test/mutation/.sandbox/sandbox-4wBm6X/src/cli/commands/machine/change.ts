// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import {
  type Command,
  type CommandInput,
  defineCommand,
  type ExitStatus,
  type Option,
  type Options,
} from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { describeFailure } from "../../report.ts";
import { hintUndestroyed, hintUnrecorded } from "./governed.ts";

type Change = "lock" | "unlock" | "revoke";

const LATCH_OPTION = { help: "the operands are ids of single latches, not machines" } as const satisfies Option;

/** The options of every command that changes machines. */
export const CHANGE_OPTIONS = { latch: LATCH_OPTION, admin: ADMIN_OPTION } as const satisfies Options;

const DONE: Readonly<Record<Change, (what: string) => string>> = {
  lock: (what) => `${what} is locked: nothing is released until it is unlocked.`,
  unlock: (what) => `${what} is unlocked: it is released again.`,
  revoke: (what) => `${what} is revoked: its keys are destroyed, nothing will ever be released again.`,
};

/**
 * Changes one machine after the other. One that fails does not keep the others from being changed:
 * in a hurry the list may be wrong in one place.
 */
export async function changeEach(
  change: Change,
  { operands, options, system, terminal }: CommandInput<typeof CHANGE_OPTIONS>,
): Promise<ExitStatus> {
  const single = options.latch;
  const results: Record<string, unknown>[] = [];
  let failed: unknown = null;
  for (const operand of operands) {
    try {
      const path = [single ? "latches" : "machines", operand, change];
      const ask = (...segments: string[]) => askServer(system, options.admin, "POST", segments);
      const answer = await (change === "revoke" && !single ? revokeOrUninvite(operand, ask) : ask(...path));
      if (answer["machine"] === null) {
        terminal.line(`Nothing has enrolled as ${operand}. The invite for it is void: nothing will.`);
        results.push({ ok: true, ...answer });
        continue;
      }
      const what = single ? `latch ${operand}` : String((answer["machine"] as JsonObject)["name"]);
      terminal.line(answer["changed"] === true ? DONE[change](what) : `${what} was ${pastOf(change)} already.`);
      const { policy } = answer["machine"] as JsonObject;
      if (change === "unlock" && policy === "alive") {
        terminal.hint("Its policy is alive: it is released for 15 minutes at least, and then as long as it is heard.");
      }
      if (change === "unlock" && policy === "lease") {
        terminal.hint(
          "Its policy is lease: it is released within one alone. To open one: nightlatch machine lease NAME 15m",
        );
      }
      hintUndestroyed(terminal, answer);
      hintUnrecorded(terminal, answer);
      results.push({ ok: true, ...answer });
    } catch (error) {
      if (operands.length === 1 || isError(error, "admin/unreachable")) throw error;
      failed = error;
      const { text, json } = describeFailure(error);
      terminal.hint(text);
      results.push({ operand, ...json });
    }
  }
  terminal.result(operands.length === 1 ? (results[0] ?? {}) : { ok: failed === null, results });
  return failed === null ? 0 : 1;
}

/**
 * A name that was invited, but has not enrolled, must not get a key either: whoever revokes it is
 * in a hurry.
 */
async function revokeOrUninvite(
  name: string,
  ask: (...segments: string[]) => Promise<JsonObject>,
): Promise<JsonObject> {
  try {
    return await ask("machines", name, "revoke");
  } catch (error) {
    if (!isError(error, "machine/unknown")) throw error;
    try {
      return { changed: true, machine: null, latches: [], invite: await ask("invites", name, "void") };
    } catch (second) {
      // It has enrolled meanwhile.
      if (isError(second, "invite/used")) return ask("machines", name, "revoke");
      throw isError(second, "invite/unknown") ? error : second;
    }
  }
}

function pastOf(change: Change): string {
  return { lock: "locked", unlock: "unlocked", revoke: "revoked" }[change];
}

/** A command that does nothing but the change: lock or unlock. */
export function changeCommand(change: Change, summary: string, details: string): Command<typeof CHANGE_OPTIONS> {
  return defineCommand({
    name: `machine ${change}`,
    summary,
    operands: "NAME...",
    minOperands: 1,
    maxOperands: MAX_OPERANDS,
    options: CHANGE_OPTIONS,
    details,
    run: (input) => changeEach(change, input),
  });
}

/** How many machines one command may change. */
export const MAX_OPERANDS = 1000;
