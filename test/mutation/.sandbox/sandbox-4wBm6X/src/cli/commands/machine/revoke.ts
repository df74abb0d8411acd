// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { CHANGE_OPTIONS, changeEach, MAX_OPERANDS } from "./change.ts";

const OPTIONS = { yes: { help: "do not ask" }, ...CHANGE_OPTIONS } as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "machine revoke",
  summary: "destroy a machine's keys: it is never released again",
  operands: "NAME...",
  minOperands: 1,
  maxOperands: MAX_OPERANDS,
  options: OPTIONS,
  details: `For a machine that was stolen. The server destroys its half of every binding of the machine, in place; what was
bound can then be opened with the passphrase alone. This cannot be undone. For a machine that may come back, use lock.
Where nothing has enrolled as NAME but it was invited, the invite is taken back.
Asks first where standard input is a terminal.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  if (!input.options.yes) await confirm(input);
  return changeEach("revoke", input);
}

async function confirm({ operands, terminal }: Input): Promise<void> {
  const what = operands.length > 4 ? `${operands.length} machines` : operands.join(", ");
  if (await terminal.confirm(`Destroy the keys of ${what}? This cannot be undone.`)) return;
  throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was revoked." });
}
