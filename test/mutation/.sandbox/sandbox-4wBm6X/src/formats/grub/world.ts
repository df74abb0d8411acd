// @ts-nocheck
import type { EnvironmentFile } from "./grubenv.ts";
import type { Statement } from "./script.ts";

/** An entry of a menu, as `menuentry` and `submenu` make it. */
export interface GrubEntry {
  readonly title: string;
  readonly id: string;
  /**
   * Entries of a submenu, or of a configuration that the entry goes over to; null for an entry that
   * boots.
   * @throws NightlatchError grub/unknown, grub/malformed: it is run when it is asked for
   */
  readonly submenu: GrubMenu | null;
  /**
   * What an entry that boots would load. Null where it loads no Linux (a firmware menu, a chain
   * loader).
   * @throws NightlatchError grub/unknown, grub/malformed
   */
  readonly linux: GrubLinux | null;
  /**
   * What the configuration says of it; null for an entry that a command adds (blscfg).
   * @throws NightlatchError grub/unknown, grub/malformed
   */
  readonly source: GrubSource | null;
  /**
   * The menu that GRUB shows where this entry is chosen with more of a choice behind it, null for
   * an entry that boots. From then on `linux` and `submenu` tell what comes of that.
   * @throws NightlatchError grub/unknown, grub/malformed
   */
  enter(rest: string): GrubMenu | null;
}

/** An entry as it is written, for one that is to do the same and more. */
export interface GrubSource {
  /** All words behind `menuentry`, expanded. */
  readonly args: readonly string[];
  readonly body: readonly Statement[];
  /** Words of its last `linux` and `initrd`, expanded, without the command's name. */
  readonly linux: readonly string[];
  readonly initrd: readonly string[];
}

/** A menu, and what chooses in it. */
export interface GrubMenu {
  readonly entries: readonly GrubEntry[];
  /** The variable `default` as it stood when the menu was shown; "" where it was not set. */
  readonly default: string;
  /**
   * How a choice is read: as GNU's GRUB does, or as that of Fedora and RHEL, which is known by its
   * `blscfg`.
   */
  readonly rules?: "gnu" | "fedora";
  /** Of GRUB's unsigned long, for numbers that are too large for one. Left out: 64. */
  readonly bits?: 32 | 64;
}

/** A menu, and what is known when it is shown. */
export interface GrubRun {
  readonly menu: GrubMenu;
  readonly variables: ReadonlyMap<string, string>;
  /**
   * What `save_env` wrote to the environment block on the way to it; "" for what it took out of it.
   */
  readonly saved: ReadonlyMap<string, string>;
}

/**
 * What a run leaves behind, also where it ends in an error, and whenever an entry is asked what it
 * boots.
 */
export class GrubTrace {
  /** Files that were asked for, as keys of `files` and `other` of the world. */
  readonly asked = new Set<string>();
  /** Commands that ran, and files, of which it is not known whether they work or are there. */
  readonly doubts = new Set<string>();
  /** What it has cost so far: see WorkBudget. */
  work = 0;
}

/** What an entry boots, where it boots a Linux kernel. */
export interface GrubLinux {
  /** Paths as the entry has them, with any `(device)` in front taken off. */
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
  /**
   * UUID of the file system that the paths are on, from the `search --set` that set their device;
   * null where none did.
   */
  readonly fsUuid: string | null;
  /**
   * True where paths begin at a btrfs file system's default subvolume (openSUSE's
   * `btrfs_relative_path`).
   */
  readonly isRelative?: boolean;
}

/** An entry as `blscfg` adds it; `options` and `initrds` may name GRUB variables. */
export interface GrubBlsEntry {
  readonly id: string;
  readonly title: string;
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
}

/**
 * What is known of a file without its text. "unseen": it lies where the running system does not
 * see.
 */
export type GrubFileKind = "file" | "empty file" | "directory" | "unseen";

/** What GRUB finds on the machine when it runs the configuration. */
export interface GrubWorld {
  /** The folder of grub.cfg, as the running system names it. */
  readonly prefix: string;
  readonly platform: "pc" | "efi";
  readonly environment: ReadonlyMap<string, string>;
  /** What grubenv is. Left out: good. */
  readonly grubenv?: EnvironmentFile["grubenv"];
  /**
   * Files that the configuration asks for (custom.cfg), by the key of {@link GrubTrace.asked}. What
   * is in none of the maps is not there.
   */
  readonly files: ReadonlyMap<string, string>;
  readonly other?: ReadonlyMap<string, GrubFileKind>;
  readonly blsEntries: readonly GrubBlsEntry[];
  /** Whether what may work or not is taken to fail. Left out: it works. */
  readonly doubtsFail?: boolean;
}

const FEATURES = [
  ...["chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module"],
  ...["menuentry_id", "menuentry_options", "200_final", "nativedisk_cmd", "timeout_style"],
];

/** The device that GRUB started from, whose name is not known here. */
export const START_DEVICE = "nightlatch:start";

/** Lists what GRUB sets and exports by itself before it reads its configuration. */
export function startingVariables(world: GrubWorld): Map<string, string> {
  return new Map([
    ["root", START_DEVICE],
    ["prefix", world.prefix],
    ["pager", ""],
    ["color_normal", "light-gray/black"],
    ["color_highlight", "black/light-gray"],
    ["config_directory", world.prefix],
    ["config_file", `${world.prefix}/grub.cfg`],
    ["grub_platform", world.platform],
    ["grub_cpu", world.platform === "efi" ? "x86_64" : "i386"],
    ...FEATURES.map((feature) => [`feature_${feature}`, "y"] as const),
  ]);
}
