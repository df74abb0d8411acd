// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Mount } from "../../host/mounts.ts";
import type { System } from "../../system/port.ts";
import type { BootEntry } from "./entry.ts";

/** What reading a boot loader's configuration may do. */
export type LoaderPower = Pick<System, "run" | "stat" | "readFile" | "readFileIfPresent" | "readAt" | "listDirectory">;

/** Which entry a boot loader is asked for, and on what machine. */
export interface LoaderRequest {
  readonly mounts: readonly Mount[];
  /**
   * Of `listConfigurations`, the one on this machine; "" where the loader is known to have started
   * the running system.
   */
  readonly configuration: string;
  /** The loader's own name of another entry than the one that would boot; null for that one. */
  readonly wanted: string | null;
}

/**
 * A boot loader: how it is found on a machine, and which entry it will boot. Each stands in the
 * list of entries.ts.
 */
export interface Loader {
  /** As people and programs read it: `source` of its entries. */
  readonly name: string;
  /** Whether it is known to have started the running system. Then no other is looked for. */
  hasStarted(system: LoaderPower): Promise<boolean>;
  /**
   * Paths of its configurations on this machine, for a loader that does not say whether it started
   * the system.
   */
  listConfigurations(system: LoaderPower): Promise<readonly string[]>;
  /**
   * Reads the entry that it will boot, or the wanted one. The entry's files are where the running
   * system sees them.
   * @throws NightlatchError boot/no-entry, boot/not-mounted, boot/unsupported, and as the formats
   */
  readEntry(system: LoaderPower, request: LoaderRequest): Promise<BootEntry>;
}

const CMDLINE_LIMIT_BYTES = 1 << 20;

/**
 * Reads the command line of the running kernel, without white space around it.
 * @throws NightlatchError file/*
 */
export async function runningCmdline(system: Pick<System, "readFile">): Promise<string> {
  return (await system.readFile("/proc/cmdline", CMDLINE_LIMIT_BYTES)).toString("utf8").trim();
}

/**
 * Makes the error for an entry that a loader does not have.
 * @param wanted null where it has none at all
 * @param where what a person looks at to see which entries there are
 */
export function noSuchEntry(loader: string, wanted: string | null, where: string): NightlatchError {
  const what = wanted === null ? "has no entry that it would boot" : `has no entry ${JSON.stringify(wanted)}`;
  return new NightlatchError("boot/no-entry", `${loader} ${what}`, {
    meaning: "Nothing was changed.",
    remedy: `See ${where}, or pass --kernel, --initrd and --cmdline.`,
  });
}
