// @ts-nocheck
import type { InitramfsVolume } from "../formats/initramfs/crypttab.ts";
import { joinInitrds } from "../formats/initramfs/initramfs.ts";
import type { System } from "../system/port.ts";
import { type EntryOptions, findBootEntry } from "./entry/entries.ts";
import { type BootEntry, readStart, wholeFile } from "./entry/entry.ts";
import { packStubFiles } from "./entry/unified/stub-additions.ts";
import { type InitramfsFacts, inspectInitramfs } from "./initramfs/inspect.ts";
import { neededVolumes } from "./initramfs/needed.ts";

/** What the machine will boot next, as its files say it. */
export interface NextBoot {
  readonly entry: BootEntry;
  readonly initrds: readonly Buffer[];
  /** Null without an initramfs. */
  readonly facts: InitramfsFacts | null;
  /** What the initramfs opens; empty where its generator is not known. */
  readonly volumes: readonly InitramfsVolume[];
  /**
   * The command line that a kexec boots with: without what would overrule an overlay's crypttab.
   */
  readonly cmdline: string;
}

const FILE_LIMIT_BYTES = 1 << 30;

/**
 * Reads the entry that boots next, its initramfs, and the volumes that this opens.
 * @param initramfs another file to look into, in the place of that entry's own; null for its own
 * @throws NightlatchError boot/*, initramfs/malformed, crypttab/malformed, and what the formats
 * throw
 */
export async function readNextBoot(
  system: Pick<System, "run" | "stat" | "readFile" | "readFileIfPresent" | "readAt" | "listDirectory">,
  options: EntryOptions,
  initramfs: string | null = null,
): Promise<NextBoot> {
  const found = await findBootEntry(system, options);
  const entry = initramfs === null ? found : withInitramfs(found, initramfs);
  const files = await Promise.all(entry.initrds.map((initrd) => readStart(system, initrd, FILE_LIMIT_BYTES)));
  const initrds = [...files, ...(await packStubFiles(system, entry.stubFiles ?? []))];
  const facts = files.length === 0 ? null : await inspectInitramfs(system, joinInitrds(initrds));
  const generator = facts?.opensLuks === true ? facts.generator : null;
  const needed =
    generator === null || facts === null
      ? { volumes: [], cmdline: entry.cmdline }
      : neededVolumes(generator, facts, entry.cmdline);
  return { entry, initrds, facts, ...needed };
}

/** As if the entry booted that file, whose name tells the kernel that it was made for. */
function withInitramfs(entry: BootEntry, path: string): BootEntry {
  const { stubFiles: _, ...rest } = entry;
  const release = /\/initrd\.img-([^/]+)$/.exec(path)?.[1] ?? entry.release;
  return { ...rest, title: path, initrds: [wholeFile(path)], release };
}
