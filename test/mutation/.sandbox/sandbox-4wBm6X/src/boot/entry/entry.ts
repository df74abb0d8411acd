// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { PeSection } from "../../formats/loader/uki.ts";
import type { System } from "../../system/port.ts";

/** A boot entry as the running system sees it: what to load, and from where it is known. */
export interface BootEntry {
  readonly title: string;
  /** What told it: `options`, the name of a boot loader, or `newest kernel`. */
  readonly source: string;
  /** True for an entry that is set for the next boot alone. */
  readonly once: boolean;
  /** The loader's own name for it. */
  readonly id: string;
  readonly kernel: BootFile;
  readonly initrds: readonly BootFile[];
  /** Of a unified image that has several. */
  readonly profile?: number;
  /** Further files of the initramfs, which a unified image's stub packs behind it. */
  readonly stubFiles?: readonly StubFile[];
  readonly cmdline: string;
  /** The kernel's release where its image tells it. */
  readonly release: string | null;
  /** What a person should know about the choice, e.g. that the configured default is not there. */
  readonly notes: readonly string[];
}

/** A file, or a part of a unified kernel image. */
export interface BootFile {
  readonly path: string;
  readonly section: PeSection | null;
}

/**
 * A file of the initramfs that systemd-stub makes of one beside a unified image, or of one of its
 * sections.
 */
export interface StubFile {
  /** In the initramfs. */
  readonly name: string;
  readonly mode: number;
  readonly from: BootFile;
}

/** Names a file of which all is meant. */
export const wholeFile = (path: string): BootFile => ({ path, section: null });

/**
 * Reads up to `limitBytes` from the beginning of a file or part.
 * @throws NightlatchError boot/no-entry where the file is not there, and as System.readAt
 */
export async function readStart(
  system: Pick<System, "readAt" | "stat">,
  file: BootFile,
  limitBytes: number,
): Promise<Buffer> {
  const { path, section } = file;
  if (section !== null) return system.readAt(path, section.offsetBytes, Math.min(section.lengthBytes, limitBytes));
  const facts = await system.stat(path);
  if (facts === null) throw new NightlatchError("boot/no-entry", `${path}, a file of the next boot, is not there`);
  return system.readAt(path, 0, Math.min(facts.sizeBytes, limitBytes));
}
