import type { Statement } from "./grub-script.ts";

export interface GrubEntry {
  readonly title: string;
  readonly id: string;
  /** Entries of a submenu, or null for an entry that boots. */
  readonly submenu: GrubMenu | null;
  /** What an entry that boots would load. Null where it loads no Linux (a firmware menu, a chain loader). */
  readonly linux: GrubLinux | null;
  /** What the configuration says of it; null for an entry that a command adds (blscfg). */
  readonly source: GrubSource | null;
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

export interface GrubMenu {
  readonly entries: readonly GrubEntry[];
  /** The variable `default` as it stood when the menu was shown. */
  readonly default: string;
}

/** A menu, and what is known when it is shown. */
export interface GrubRun {
  readonly menu: GrubMenu;
  readonly variables: ReadonlyMap<string, string>;
  /** What `save_env` wrote to the environment block on the way to it. */
  readonly saved: ReadonlyMap<string, string>;
}

export interface GrubLinux {
  /** Paths as the entry has them, with any `(device)` in front taken off. */
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
  /** UUID of the file system that the paths are on, from the last `search --set=root`; null where the entry has none. */
  readonly fsUuid: string | null;
}

/** An entry as `blscfg` adds it; `options` and `initrds` may name GRUB variables. */
export interface GrubBlsEntry {
  readonly id: string;
  readonly title: string;
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
}

export interface GrubWorld {
  /** The folder of grub.cfg, as the running system names it. */
  readonly prefix: string;
  readonly platform: "pc" | "efi";
  readonly environment: ReadonlyMap<string, string>;
  /** Files that the configuration asks for (custom.cfg), by the path that it names; null where there is none. */
  readonly files: ReadonlyMap<string, string>;
  readonly blsEntries: readonly GrubBlsEntry[];
}

const FEATURES = [
  ...["chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module"],
  ...["menuentry_id", "menuentry_options", "200_final", "nativedisk_cmd", "timeout_style"],
];

/** What GRUB sets by itself before it reads its configuration. */
export function startingVariables(world: GrubWorld): Map<string, string> {
  return new Map([
    ["prefix", world.prefix],
    ["config_directory", world.prefix],
    ["config_file", `${world.prefix}/grub.cfg`],
    ["grub_platform", world.platform],
    ["grub_cpu", world.platform === "efi" ? "x86_64" : "i386"],
    ...FEATURES.map((feature) => [`feature_${feature}`, "y"] as const),
  ]);
}
