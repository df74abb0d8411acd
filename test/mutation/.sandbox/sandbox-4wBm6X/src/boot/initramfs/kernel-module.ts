// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import type { System } from "../../system/port.ts";
import type { InitramfsFacts } from "./inspect.ts";

/**
 * Tells whether an initramfs holds a module and what it needs, or the kernel has it built in. By
 * modinfo(8), which knows the file's name (and compression) in that kernel, what is built into it,
 * and what a module needs.
 * @param release of the kernel; null for the one that runs
 * @param seen modules that were asked for already
 * @throws NightlatchError system/*
 */
export async function holdsModule(
  system: Pick<System, "run">,
  facts: Pick<InitramfsFacts, "has">,
  release: string | null,
  module: string,
  seen: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  const file = await modinfo(system, release, "filename", module);
  if (file === null) return false;
  if (file === "(builtin)") return true;
  if (!facts.has(file) && !facts.has(file.replace(/\.(?:xz|zst|gz)$/, ""))) return false;
  const needed = ((await modinfo(system, release, "depends", module)) ?? "").split(",");
  const known = new Set([...seen, module]);
  for (const other of needed) {
    if (!/^[\w-]+$/.test(other) || known.has(other)) continue;
    if (!(await holdsModule(system, facts, release, other, known))) return false;
  }
  return true;
}

/** Null where that kernel has no such module. */
async function modinfo(
  system: Pick<System, "run">,
  release: string | null,
  field: string,
  module: string,
): Promise<string | null> {
  const kernel = release === null ? [] : ["-k", release];
  const argv = ["modinfo", ...kernel, "-F", field, module] as const;
  const { status, stdout } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
  return status === 0 ? stdout.toString("utf8").trim() : null;
}
