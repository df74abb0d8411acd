// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { type CpioEntry, CpioReader, S_IFLNK, S_IFMT } from "../../formats/initramfs/cpio.ts";
import { type InitramfsPart, nextPart } from "../../formats/initramfs/initramfs.ts";
import { RootFileSystem } from "../../formats/initramfs/rootfs.ts";
import { unreadable } from "../../formats/initramfs/unreadable.ts";
import type { System } from "../../system/port.ts";
import { decompress } from "./decompress.ts";

/** What opens volumes in an initramfs, told from what is in it. */
export type Generator = "initramfs-tools" | "dracut-systemd" | "dracut" | "mkinitcpio" | "mkinitcpio-systemd";

/** What an initramfs is and holds, as far as opening volumes goes. */
export interface InitramfsFacts {
  /** Null where no generator that is known made it. */
  readonly generator: Generator | null;
  /** Whether it can open a LUKS volume at all. */
  readonly opensLuks: boolean;
  /** `cryptroot/crypttab` (initramfs-tools) or `etc/crypttab`; null where there is none. */
  readonly crypttab: string | null;
  /** Kernel parameters that the initramfs brings along (dracut's etc/cmdline.d). */
  readonly ownCmdline: string;
  /** Whether it holds a file or folder, e.g. a key file that its crypttab names. */
  readonly has: (name: string) => boolean;
  /** Whether a path leads to something once the links on it are followed. */
  readonly leads: (name: string) => boolean;
  /** Text of one of the few configuration files that are kept; null where it is not there. */
  readonly content: (name: string) => string | null;
  /** Every path in it. What lies in /lib, /bin or an sbin is told as of usr/lib and usr/bin. */
  readonly names: ReadonlySet<string>;
  /** Releases whose modules it holds. */
  readonly releases: readonly string[];
}

/**
 * Reads what an initramfs holds. Uncompressed parts are listed in place. Compressed ones are
 * decompressed in a stream: nothing is unpacked to a disk, and only configuration is kept.
 * @throws NightlatchError initramfs/malformed, cpio/malformed, system/missing-program
 */
export async function inspectInitramfs(system: Pick<System, "run">, bytes: Buffer): Promise<InitramfsFacts> {
  const listing = new Listing();
  let isEmpty = true;
  for (let part = nextPart(bytes, 0); part !== null; ) {
    isEmpty = false;
    part = nextPart(bytes, await listPart(system, bytes, part, listing));
  }
  if (isEmpty) throw unreadable("it is empty");
  return listing.facts();
}

/** @returns the byte behind the part */
async function listPart(
  system: Pick<System, "run">,
  bytes: Buffer,
  { compression, startBytes, endBytes }: InitramfsPart,
  into: Listing,
): Promise<number> {
  const reader = new CpioReader(
    (entry) => into.wants(entry),
    (entry, content) => into.add(entry, content),
    () => into.endArchive(),
  );
  const content = bytes.subarray(startBytes, endBytes ?? bytes.length);
  const take = (chunk: Buffer) => reader.push(chunk);
  if (compression === null) take(content);
  const lengthBytes = compression === null ? content.length : await decompress(system, compression, content, take);
  if (!reader.finished) throw unreadable(`what its ${compression} archive holds does not end as an archive does`);
  return startBytes + lengthBytes;
}

const CONFIGURATION = new RegExp(
  `^(?:${[
    "cryptroot/crypttab",
    "etc/crypttab",
    "etc/cmdline\\.d/[^/]+\\.conf",
    "etc/cmdline",
    "scripts/init-bottom/ORDER",
    // The network: docs/format/initramfs-network.md.
    "conf/initramfs\\.conf",
    "conf/conf\\.d/[^/]+",
    "etc/nightlatch/network",
    "etc/systemd/network/zzzz-[a-z-]+\\.network",
    "usr/lib/dracut/default\\.network",
  ].join("|")})$`,
);
const isConfiguration = (name: string): boolean => CONFIGURATION.test(name);

/**
 * A name of a file with several can be configuration by another of them; what such files hold
 * together is bounded.
 */
const LINKED_FILE_BYTES = 256 * 1024;
const LINKED_FILES_BYTES = 64 << 20;

/** `/lib`, `/bin` and `/sbin` are links into /usr in most of them, and folders in some. */
const underUsr = (name: string): string =>
  name.replace(/^(lib|lib64|bin|sbin)\//, "usr/$1/").replace(/^usr\/sbin\//, "usr/bin/");

class Listing {
  readonly #root = new RootFileSystem();
  #linkedBytes = 0;

  wants(entry: CpioEntry): boolean {
    if (isConfiguration(entry.name) || (entry.mode & S_IFMT) === S_IFLNK) return true;
    if (entry.linkCount < 2 || entry.sizeBytes > LINKED_FILE_BYTES) return false;
    this.#linkedBytes += entry.sizeBytes;
    return this.#linkedBytes <= LINKED_FILES_BYTES;
  }

  add(entry: CpioEntry, content: Buffer | null): void {
    this.#root.add(entry, content);
  }

  endArchive(): void {
    this.#root.endArchive();
  }

  facts(): InitramfsFacts {
    const paths = [...this.#root.names()];
    const names = new Set(paths.map(underUsr));
    const generator = generatorOf(names);
    const own = paths.filter((name) => name.startsWith("etc/cmdline") && isConfiguration(name)).sort();
    return {
      generator,
      opensLuks: generator !== null && OPENERS[generator].every((name) => names.has(name)),
      crypttab: this.#text(generator === "initramfs-tools" ? "cryptroot/crypttab" : "etc/crypttab"),
      ownCmdline: own.map((name) => (this.#text(name) ?? "").trim().replaceAll("\n", " ")).join(" "),
      has: (name) => names.has(underUsr(name.replace(/^\/+/, ""))) || this.#root.has(name),
      leads: (name) => this.#root.has(name),
      content: (name) => this.#text(name),
      names,
      releases: [...new Set(paths.flatMap((name) => /^usr\/lib\/modules\/([^/]+)\//.exec(underUsr(name))?.[1] ?? []))],
    };
  }

  /**
   * @throws NightlatchError initramfs/malformed where it was too large to be kept, or is reached by
   * a way that is not followed
   */
  #text(name: string): string | null {
    const content = this.#root.content(name);
    if (content !== "unknown") return content?.toString("utf8") ?? null;
    throw new NightlatchError("initramfs/malformed", `the initramfs cannot be read: its ${name} was not kept`, {
      meaning:
        "It is larger than a configuration file may be here, or linked in a way that is not followed. Nothing was changed.",
    });
  }
}

function generatorOf(names: ReadonlySet<string>): Generator | null {
  const has = (name: string) => names.has(name);
  const systemd = has("usr/lib/systemd/systemd");
  if (has("scripts/functions") && has("conf/initramfs.conf")) return "initramfs-tools";
  if (has("usr/lib/dracut/build-parameter.txt") || has("usr/lib/dracut-lib.sh") || has("usr/lib/dracut/hooks")) {
    return systemd ? "dracut-systemd" : "dracut";
  }
  if (has("init_functions") || has("buildconfig")) return systemd ? "mkinitcpio-systemd" : "mkinitcpio";
  return null;
}

/** What each generator needs to open a LUKS volume; names after `underUsr`. */
const OPENERS: Readonly<Record<Generator, readonly string[]>> = {
  "initramfs-tools": ["usr/bin/cryptsetup", "scripts/local-top/cryptroot"],
  "dracut-systemd": ["usr/lib/systemd/systemd-cryptsetup"],
  dracut: ["usr/bin/cryptsetup", "usr/bin/cryptroot-ask"],
  mkinitcpio: ["usr/bin/cryptsetup", "hooks/encrypt"],
  "mkinitcpio-systemd": ["usr/lib/systemd/systemd-cryptsetup"],
};
