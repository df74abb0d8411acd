import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import type { System } from "../../system/port.ts";
import type { InitramfsFacts } from "./inspect.ts";

/**
 * Tells whether an initramfs holds a module, or the kernel has it built in: modinfo(8) knows the
 * file's name (and compression) in that kernel.
 * @param release of the kernel; null for the one that runs
 * @throws NightlatchError system/*
 */
export async function holdsModule(
  system: Pick<System, "run">,
  facts: Pick<InitramfsFacts, "has">,
  release: string | null,
  module: string,
): Promise<boolean> {
  const kernel = release === null ? [] : ["-k", release];
  const argv = ["modinfo", ...kernel, "-F", "filename", module] as const;
  const { status, stdout } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
  const file = stdout.toString("utf8").trim();
  if (status !== 0) return false;
  return file === "(builtin)" || facts.has(file) || facts.has(file.replace(/\.(?:xz|zst|gz)$/, ""));
}
