import type { Command } from "./command.ts";
import { COMMANDS } from "./registry.ts";

/** What `nightlatch --help` says: every command in a line. */
export async function overview(): Promise<string> {
  const rows = await rowsOf(Object.keys(COMMANDS));
  return `usage: nightlatch COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch COMMAND --help tells more; so does man nightlatch.\n`;
}

/** The commands of two words that begin with this one. */
export function familyOf(word: string): string[] {
  return Object.keys(COMMANDS).filter((name) => name.startsWith(`${word} `));
}

/** What `nightlatch machine --help` says: a family's commands in a line each. */
export async function familyOverview(word: string): Promise<string> {
  const rows = await rowsOf(familyOf(word));
  return `usage: nightlatch ${word} COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch ${word} COMMAND --help tells more; so does man nightlatch.\n`;
}

async function rowsOf(names: readonly string[]): Promise<string> {
  const commands = await Promise.all(names.map(async (name) => (await load(name)).command));
  return commands.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join("\n");
}

function load(name: string): Promise<{ command: Command }> {
  const load = COMMANDS[name];
  if (load === undefined) throw new TypeError(`there is no command ${name}`);
  return load();
}
