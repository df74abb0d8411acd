// @ts-nocheck
import { TOKEN_WORK, type WorkBudget } from "./budget.ts";
import type { Variables } from "./variables.ts";
import type { GrubBlsEntry } from "./world.ts";

/**
 * Makes of an entry what Fedora's `blscfg` makes of it: text of the script, which is run when the
 * entry is chosen (commands/blscfg.c there).
 */
export function blsSource(entry: GrubBlsEntry, variables: Variables, budget: WorkBudget): string {
  const expand = (text: string) => expandBls(text, variables, budget);
  const options = expand(entry.options) || expand(variables.get("default_kernelopts") ?? "");
  const folder = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
  const early = (variables.get("early_initrd") ?? "").split(" ").filter((name) => name !== "");
  const initrds = [...early.map((name) => `${folder(entry.initrds[0] ?? entry.kernel)}${name}`), ...entry.initrds];
  return [
    ...(variables.get("save_default") === "true" ? ["savedefault"] : []),
    "load_video",
    `linux ($root)${entry.kernel}${options === "" ? "" : ` ${options}`}`,
    ...(initrds.length === 0 ? [] : [`initrd ${initrds.map((path) => `($root)${path}`).join(" ")}`]),
  ].join("\n");
}

/**
 * Variables by `$name`; of `\$` the dollar stays for the script. A space behind a value is its own.
 */
function expandBls(text: string, variables: Variables, budget: WorkBudget): string {
  budget.spend(text.length);
  return text.replace(/\\\$|\$([A-Za-z0-9_]*)( ?)/g, (found, name) => {
    if (found === "\\$") return found;
    const value = variables.get(name);
    budget.spend(TOKEN_WORK + (value?.length ?? 0));
    return value === null ? "" : `${value} `;
  });
}
