// @ts-nocheck
import { familyOf } from "./find.ts";
import { COMMANDS, type Commands } from "./registry.ts";

/** What `nightlatch --help` says: every command in a line. */
export async function overview(commands: Commands = COMMANDS): Promise<string> {
  const rows = await rowsOf(Object.values(commands));
  return `usage: nightlatch COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch COMMAND --help tells more; so does man nightlatch.\n`;
}

/** What `nightlatch machine --help` says: a family's commands in a line each. */
export async function familyOverview(word: string, commands: Commands = COMMANDS): Promise<string> {
  const family = new Set(familyOf(word, commands));
  const rows = await rowsOf(Object.entries(commands).flatMap(([name, load]) => (family.has(name) ? [load] : [])));
  return `usage: nightlatch ${word} COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch ${word} COMMAND --help tells more; so does man nightlatch.\n`;
}

async function rowsOf(loads: readonly Commands[string][]): Promise<string> {
  const commands = await Promise.all(loads.map(async (load) => (await load()).command));
  return commands.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join("\n");
}
