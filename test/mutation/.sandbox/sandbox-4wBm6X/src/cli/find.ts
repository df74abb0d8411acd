// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Command } from "./command.ts";
import { COMMANDS, type Commands } from "./registry.ts";

/**
 * Finds the command that the arguments begin with, and gives what is behind its name. The longest
 * name wins: `machine invite` before `machine`.
 * @throws NightlatchError usage/wrong where there is none
 */
export async function findCommand(
  args: readonly string[],
  commands: Commands = COMMANDS,
): Promise<{ readonly command: Command; readonly rest: readonly string[] }> {
  for (const words of [2, 1]) {
    const name = args.slice(0, words).join(" ");
    const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (load !== undefined) return { command: (await load()).command, rest: args.slice(words) };
  }
  const family = familyOf(args[0] ?? "", commands);
  throw new NightlatchError("usage/wrong", `there is no command ${JSON.stringify(args.slice(0, 2).join(" "))}`, {
    remedy: family.length > 0 ? `There are: ${family.join(", ")}.` : "See: nightlatch --help",
  });
}

/** Lists the names of the commands of two words that begin with this one. */
export function familyOf(word: string, commands: Commands = COMMANDS): string[] {
  return Object.keys(commands).filter((name) => name.startsWith(`${word} `));
}
