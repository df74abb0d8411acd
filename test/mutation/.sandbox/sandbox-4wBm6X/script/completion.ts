/**
 * Bash completion: packaging/completion.bash with its lists filled in from the command tables.
 * It is a static script: completing starts no Node.
 */
// @ts-nocheck

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command, Option } from "../src/cli/command.ts";
import { optionsOf } from "../src/cli/parse.ts";
import { COMMANDS } from "../src/cli/registry.ts";
import { fillMarks } from "./marks.ts";

type Table = Pick<Command, "name" | "operands" | "options">;

/**
 * @param tables every command, in the order of the help
 * @throws Error when the skeleton lacks a mark
 */
export function completionScript(skeleton: string, tables: readonly Table[]): string {
  const firstWords = [...new Set(tables.map(({ name }) => name.split(" ")[0] ?? ""))];
  const wordsAfter = (group: string) =>
    tables.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => name.slice(group.length + 1));
  const groups = firstWords.filter((word) => wordsAfter(word).length > 0);
  return fillMarks(skeleton, {
    "# @FIRST@": `commands='${firstWords.join(" ")}'`,
    "# @GROUPS@": groups.map((group) => `${group}) words='${wordsAfter(group).join(" ")}' ;;`).join("\n    "),
    "# @COMMANDS@": tables.map(commandCase).join("\n    "),
  });
}

function commandCase(table: Table): string {
  const options = optionsOf(table);
  const names = options.flatMap(spellings).join(" ");
  const valued = options.filter(([, { value }]) => value !== undefined).flatMap(spellings);
  const files = /\b(DEV|FILE|DIR|PATH)\b/.test(table.operands ?? "") ? " files=yes" : "";
  return `'${table.name}') options='${names}' valued='${valued.join(" ")}'${files} ;;`;
}

const spellings = ([name, { short }]: readonly [string, Option]): string[] =>
  short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];

/** Every command's table, in the order of the registry. */
export async function commandTables(): Promise<Command[]> {
  return Promise.all(Object.values(COMMANDS).map(async (load) => (await load()).command));
}

/** The completion of this checkout. */
export async function buildCompletion(): Promise<string> {
  const skeleton = readFileSync(join(import.meta.dirname, "../packaging/completion.bash"), "utf8");
  return completionScript(skeleton, await commandTables());
}
