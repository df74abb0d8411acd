import { NightlatchError } from "../../../core/errors.ts";
import type { Command, CommandInput, ExitStatus } from "../../command.ts";
import { ADMIN_OPTION } from "../../operator-client.ts";
import { changeEach, LATCH_OPTION, MAX_OPERANDS } from "./change.ts";

export const command: Command = {
  name: "machine revoke",
  summary: "destroy a machine's keys: it is never released again",
  operands: "NAME...",
  minOperands: 1,
  maxOperands: MAX_OPERANDS,
  options: [{ name: "yes", help: "do not ask" }, LATCH_OPTION, ADMIN_OPTION],
  details: `For a machine that was stolen. The server destroys its half of every binding of the machine, in place; what was
bound can then be opened with the passphrase alone. This cannot be undone. For a machine that may come back, use lock.
Where nothing has enrolled as NAME but it was invited, the invite is taken back.
Asks first where standard input is a terminal.`,
  run,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  if (!input.switches.has("yes")) await confirm(input);
  return changeEach("revoke", input);
}

async function confirm({ operands, terminal }: CommandInput): Promise<void> {
  const what = operands.length > 4 ? `${operands.length} machines` : operands.join(", ");
  if (await terminal.confirm(`Destroy the keys of ${what}? This cannot be undone.`)) return;
  throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was revoked." });
}
