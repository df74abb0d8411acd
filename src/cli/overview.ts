import { familyOf } from "./find.ts";
import { row } from "./layout.ts";
import { COMMANDS, type Commands } from "./registry.ts";

/** What `nightlatch --help` says: every command in a line. */
export async function overview(columns: number, commands: Commands = COMMANDS): Promise<string> {
  const rows = await rowsOf(Object.values(commands), columns);
  return `usage: nightlatch COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch COMMAND --help tells more; so does man nightlatch.\n`;
}

/** What `nightlatch machine --help` says: a family's commands in a line each. */
export async function familyOverview(word: string, columns: number, commands: Commands = COMMANDS): Promise<string> {
  const family = new Set(familyOf(word, commands));
  const loads = Object.entries(commands).flatMap(([name, load]) => (family.has(name) ? [load] : []));
  const rows = await rowsOf(loads, columns);
  return `usage: nightlatch ${word} COMMAND [OPTIONS]\n\n${rows}\n\nnightlatch ${word} COMMAND --help tells more; so does man nightlatch.\n`;
}

async function rowsOf(loads: readonly Commands[string][], columns: number): Promise<string> {
  const commands = await Promise.all(loads.map(async (load) => (await load()).command));
  return commands.map(({ name, summary }) => row(name, 18, summary, columns)).join("\n");
}
