/** The agent that ships: one file with its bytecode, and OpenSSL without node:crypto. */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { agentNodeFlags } from "../../../script/agent-unit.ts";
import { makeFolder } from "../volumes.ts";

const SCRIPT = resolve(import.meta.dirname, "../../../script/bundle");

/** The command line of its unit, without options. It is made of this checkout at the first call. */
export function shippedAgent(): readonly string[] {
  made ??= make();
  return [process.execPath, ...agentNodeFlags(), join(made, "lib/agent.cjs")];
}

let made: string | null = null;

function make(): string {
  const folder = join(makeFolder(), "bundle");
  const { status, stderr } = spawnSync(SCRIPT, [folder], { encoding: "utf8" });
  if (status !== 0) throw new Error(`the agent's bundle could not be made: ${stderr}`);
  return folder;
}
