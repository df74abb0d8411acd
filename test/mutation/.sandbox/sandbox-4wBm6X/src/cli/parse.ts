// @ts-nocheck
import { parseArgs } from "node:util";
import { NightlatchError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { Command, Option, Options, OptionValues } from "./command.ts";

interface Invocation<O extends Options> {
  readonly operands: readonly string[];
  readonly options: OptionValues<O>;
  /** --help was given: the operands were not counted, and the command is not to run. */
  readonly asksHelp: boolean;
}

/** Flags that every command takes. */
const COMMON_OPTIONS = {
  json: { help: "one JSON object on stdout instead of text" },
  help: { help: "show this help" },
} as const satisfies Options;

/** The options of a command by their names, those that every command has last. */
export function optionsOf(command: Pick<Command, "options">): [name: string, option: Option][] {
  return Object.entries({ ...command.options, ...COMMON_OPTIONS });
}

/** What the command line says to a command. @throws NightlatchError usage/wrong */
export function parseArguments<O extends Options>(command: Command<O>, args: readonly string[]): Invocation<O> {
  const { values, positionals } = parseStrictly(command, args);
  const options = Object.entries<Option>(command.options).map(([name, option]) => {
    if (option.value === undefined) return [name, values[name] === true];
    return [name, values[name] ?? option.default];
  });
  const asksHelp = values["help"] === true;
  const count = positionals.length;
  if (!asksHelp && (count < (command.minOperands ?? 0) || count > (command.maxOperands ?? 0))) {
    throw wrongUsage(command, count < (command.minOperands ?? 0) ? "an argument is missing" : "too many arguments");
  }
  return { operands: positionals, options: Object.fromEntries(options) as OptionValues<O>, asksHelp };
}

function parseStrictly(
  command: Pick<Command, "name" | "options">,
  args: readonly string[],
): Pick<ReturnType<typeof parseArgs>, "values" | "positionals"> {
  // Units run commands without arguments: a boot is spared loading the parser.
  if (args.length === 0) return { values: {}, positionals: [] };
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: Object.fromEntries(
        optionsOf(command).map(([name, { value, short }]) => [
          name,
          {
            type: value === undefined ? ("boolean" as const) : ("string" as const),
            ...(short === undefined ? {} : { short }),
          },
        ]),
      ),
    });
  } catch (error) {
    // The id of a latch may begin with a dash. No other word is repeated: it may be what belongs in
    // no log.
    const dashed = args.find((word) => /^-[\w-]{21}$/.test(word) && !word.startsWith("--"));
    const behind = dashed === undefined ? "" : ` A word that begins with a dash goes last, behind --: -- ${dashed}`;
    throw wrongUsage(command, (error as Error).message.split(". ")[0] ?? "wrong arguments", behind);
  }
}

function wrongUsage({ name }: Pick<Command, "name">, what: string, more = ""): NightlatchError {
  return new NightlatchError("usage/wrong", `${name}: ${what}`, {
    remedy: `See: nightlatch ${name} --help${printable(more, 200)}`,
  });
}

/** What `nightlatch COMMAND --help` says. */
export function helpText(command: Omit<Command, "run">): string {
  const rows = optionsOf(command).map(([name, option]) => {
    const short = option.short === undefined ? "" : `-${option.short}, `;
    const left = `${short}--${name}${option.value === undefined ? "" : ` ${option.value}`}`;
    const fallback = option.default === undefined ? "" : ` (default ${option.default})`;
    return `  ${left.padEnd(24)} ${option.help}${fallback}`;
  });
  const usage = ["nightlatch", command.name, command.operands, "[OPTIONS]"].filter(Boolean).join(" ");
  const parts = [`usage: ${usage}`, "", command.summary, "", ...rows];
  if (command.details !== undefined) parts.push("", command.details);
  return `${parts.join("\n")}\n`;
}
