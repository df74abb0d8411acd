import type { PeSection } from "../formats/uki.ts";

/** A boot entry as the running system sees it: what to load, and from where it is known. */
export interface BootEntry {
  readonly title: string;
  /** What told it. */
  readonly source: "options" | "grub" | "systemd-boot" | "extlinux" | "newest kernel";
  /** True for an entry that is set for the next boot alone. */
  readonly once: boolean;
  /** The loader's own name for it. */
  readonly id: string;
  readonly kernel: BootFile;
  readonly initrds: readonly BootFile[];
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

export const wholeFile = (path: string): BootFile => ({ path, section: null });
