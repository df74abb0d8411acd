// @ts-nocheck
import { readFileSync } from "node:fs";
import type { Command, Terminal } from "./cli/command.ts";
import type { System } from "./system/port.ts";
import { secludeProcess } from "./system/seclusion.ts";

// Before the rest is loaded, which takes most of the start.
try {
  secludeProcess();
} catch {
  // main() tries again, and tells
}

const { catchDefects, tellFailure } = await import("./cli/report.ts");
const { familyOf, findCommand } = await import("./cli/find.ts");
const { familyOverview, overview } = await import("./cli/overview.ts");
const { helpText, parseArguments } = await import("./cli/parse.ts");
const { COMMANDS } = await import("./cli/registry.ts");
const { openTerminal, writeToStdout } = await import("./cli/terminal.ts");
const { nodeSystem } = await import("./system/node.ts");

/** Composition root: picks the command and hands it the real system. */
async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const terminal = openTerminal(args.includes("--json"), stop.signal);
  catchDefects(terminal);
  try {
    secludeProcess();
    const first = args[0];
    if (first === undefined || first === "--help" || first === "help") {
      writeToStdout(await overview());
      return first === undefined ? 2 : 0;
    }
    if (first === "--version") {
      writeToStdout(`nightlatch ${version()}\n`);
      return 0;
    }
    const second = args[1];
    if (isFamily(first) && (second === undefined || second === "--help" || second === "help")) {
      writeToStdout(await familyOverview(first));
      return second === undefined ? 2 : 0;
    }
    const { command, rest } = await findCommand(args);
    const { operands, options, asksHelp } = parseArguments(command, rest);
    if (asksHelp) {
      writeToStdout(helpText(command));
      return 0;
    }
    return await command.run({ operands, options, ...(await surroundings(command, terminal)) });
  } catch (error) {
    return tellFailure(terminal, error);
  }
}

/** A service has a log of its own, and a boot waits for it. */
const SERVICES: ReadonlySet<string> = new Set(["agent", "heartbeat", "serve"]);

async function surroundings({ name }: Command, terminal: Terminal): Promise<{ system: System; terminal: Terminal }> {
  if (SERVICES.has(name)) return { system: nodeSystem, terminal };
  const { narrate } = await import("./cli/narration.ts");
  return narrate(nodeSystem, terminal);
}

/** `machine` alone is no command, but the beginning of several. */
function isFamily(word: string): boolean {
  return !Object.hasOwn(COMMANDS, word) && familyOf(word).length > 0;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return manifest.version;
}

process.exitCode = await main(process.argv.slice(2));
