/**
 * Bash completion drawn from the command tables. A static script: completing starts no Node.
 * usage: node script/completion.ts
 */
import { pathToFileURL } from "node:url";
import type { Command } from "../src/cli/command.ts";
import { COMMON_OPTIONS } from "../src/cli/parse.ts";
import { COMMANDS } from "../src/cli/registry.ts";

export interface Table {
  readonly name: string;
  readonly operands?: string;
  readonly options: Command["options"];
}

/** @param tables every command, in the order of the help */
export function completionScript(tables: readonly Table[]): string {
  const firstWords = [...new Set(tables.map(({ name }) => name.split(" ")[0] ?? ""))];
  const groups = firstWords.filter((word) => tables.some(({ name }) => name.startsWith(`${word} `)));
  const second = groups.map((group) => {
    const words = tables.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => name.slice(group.length + 1));
    return `    ${group}) words='${words.join(" ")}' ;;`;
  });
  const cases = tables.map((table) => {
    const options = [...table.options, ...COMMON_OPTIONS];
    const valued = options.filter((option) => "value" in option).map(({ name }) => `--${name}`);
    const names = options.map(({ name }) => `--${name}`).join(" ");
    const takesFiles = /\b(DEV|FILE|DIR|PATH)\b/.test(table.operands ?? "") ? " files=yes" : "";
    return `    '${table.name}') options='${names}' valued=' ${valued.join(" ")} '${takesFiles} ;;`;
  });
  return `${[
    "# bash completion for nightlatch, made from its command tables",
    "_nightlatch() {",
    `  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}`,
    "  local words='' options='' valued=' ' files='' command=${COMP_WORDS[1]:-}",
    "  COMPREPLY=()",
    "  if [ \"$COMP_CWORD\" -le 1 ]; then",
    `    mapfile -t COMPREPLY < <(compgen -W '${firstWords.join(" ")} --help --version' -- "$current")`,
    "    return",
    "  fi",
    "  case $command in",
    ...second,
    "  esac",
    '  if [ -n "$words" ] && [ "$COMP_CWORD" -eq 2 ]; then',
    '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")',
    "    return",
    "  fi",
    '  [ -z "$words" ] || command="$command ${COMP_WORDS[2]}"',
    "  case $command in",
    ...cases,
    "  esac",
    '  if [[ $valued == *" $previous "* ]]; then',
    "    compopt -o filenames 2>/dev/null",
    '    mapfile -t COMPREPLY < <(compgen -f -- "$current")',
    "  elif [[ $current == -* ]]; then",
    '    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")',
    '  elif [ -n "$files" ]; then',
    "    compopt -o filenames 2>/dev/null",
    '    mapfile -t COMPREPLY < <(compgen -f -- "${current:-/dev/}")',
    "  fi",
    "}",
    "complete -F _nightlatch nightlatch",
  ].join("\n")}\n`;
}

/** Every command's table, in the order of the registry. */
export async function commandTables(): Promise<Command[]> {
  return Promise.all(Object.values(COMMANDS).map(async (load) => (await load()).command));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.stdout.write(completionScript(await commandTables()));
}
