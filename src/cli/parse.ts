import { parseArgs } from "node:util";
import { NightlatchError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { Command } from "./command.ts";

export interface Invocation {
  readonly operands: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
}

/** Switches that every command takes. */
export const COMMON_OPTIONS = [
  { name: "json", help: "one JSON object on stdout instead of text" },
  { name: "help", help: "show this help" },
] as const;

/** @throws NightlatchError usage/wrong */
export function parseArguments(command: Command, args: readonly string[]): Invocation {
  const known = [...command.options, ...COMMON_OPTIONS];
  const { values, positionals } = parseStrictly(command, args);
  const options: Record<string, string> = {};
  const switches = new Set<string>();
  for (const option of known) {
    const given = values[option.name];
    const fallback = "default" in option ? option.default : undefined;
    if (typeof given === "string") options[option.name] = given;
    else if (given === true) switches.add(option.name);
    else if (fallback !== undefined) options[option.name] = fallback;
  }
  const count = positionals.length;
  if (!switches.has("help") && (count < (command.minOperands ?? 0) || count > (command.maxOperands ?? 0))) {
    throw wrongUsage(command, count < (command.minOperands ?? 0) ? "an argument is missing" : "too many arguments");
  }
  return { operands: positionals, options, switches };
}

function parseStrictly(
  command: Command,
  args: readonly string[],
): Pick<ReturnType<typeof parseArgs>, "values" | "positionals"> {
  if (args.length === 0) return { values: {}, positionals: [] }; // as units run commands: a boot is spared the parser's loading
  const known = [...command.options, ...COMMON_OPTIONS];
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: Object.fromEntries(
        known.map((o) => [
          o.name,
          {
            type: "value" in o ? ("string" as const) : ("boolean" as const),
            ...("short" in o && o.short !== undefined ? { short: o.short } : {}),
          },
        ]),
      ),
    });
  } catch (error) {
    // The id of a latch may begin with a dash. No other word is repeated: it may be what belongs in no log.
    const dashed = args.find((word) => /^-[\w-]{21}$/.test(word) && !word.startsWith("--"));
    const behind = dashed === undefined ? "" : ` A word that begins with a dash goes last, behind --: -- ${dashed}`;
    throw wrongUsage(command, (error as Error).message.split(". ")[0] ?? "wrong arguments", behind);
  }
}

function wrongUsage(command: Command, what: string, more = ""): NightlatchError {
  return new NightlatchError("usage/wrong", `${command.name}: ${what}`, {
    remedy: `See: nightlatch ${command.name} --help${printable(more, 200)}`,
  });
}

export function usageLine(command: Command): string {
  return ["nightlatch", command.name, command.operands, "[OPTIONS]"].filter(Boolean).join(" ");
}

export function helpText(command: Command): string {
  const rows = [...command.options, ...COMMON_OPTIONS].map((option) => {
    const short = "short" in option && option.short !== undefined ? `-${option.short}, ` : "";
    const left = `${short}--${option.name}${"value" in option ? ` ${option.value}` : ""}`;
    const fallback = "default" in option && option.default !== undefined ? ` (default ${option.default})` : "";
    return `  ${left.padEnd(24)} ${option.help}${fallback}`;
  });
  const parts = [`usage: ${usageLine(command)}`, "", command.summary, "", ...rows];
  if (command.details !== undefined) parts.push("", command.details);
  return `${parts.join("\n")}\n`;
}
