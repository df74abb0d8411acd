// @ts-nocheck
import { command } from "./cli/commands/agent.ts";
import { parseArguments } from "./cli/parse.ts";
import { catchDefects, tellFailure } from "./cli/report.ts";
import { openTerminal } from "./cli/terminal.ts";
import { nodeSystem } from "./system/node.ts";
import { secludeService } from "./system/seclusion.ts";

/**
 * `nightlatch agent` by itself, as its unit starts it: a boot waits for the key, and what is not
 * loaded takes no time.
 */
async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const terminal = openTerminal(false, stop.signal);
  catchDefects(terminal);
  try {
    secludeService();
    return await command.run({ ...parseArguments(command, args), system: nodeSystem, terminal });
  } catch (error) {
    return tellFailure(terminal, error);
  }
}

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
