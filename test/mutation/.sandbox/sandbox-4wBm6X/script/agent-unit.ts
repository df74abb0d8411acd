/** Of the agent's unit, what others have to agree with. */
// @ts-nocheck

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const UNIT = resolve(import.meta.dirname, "../packaging/systemd/nightlatch-agent.service");
const EXEC_START = /^ExecStart=\/usr\/lib\/nightlatch\/node((?: --\S+)*) \/usr\/lib\/nightlatch\/lib\/agent\.cjs$/m;

/**
 * The flags that it gives Node. V8 takes no bytecode that was made under others.
 * @throws Error where the unit reads otherwise
 */
export function agentNodeFlags(): readonly string[] {
  const [, flags] = EXEC_START.exec(readFileSync(UNIT, "utf8")) ?? [];
  if (flags === undefined) throw new Error(`${UNIT} does not start the agent as it is known here`);
  return flags.split(" ").filter((flag) => flag !== "");
}
