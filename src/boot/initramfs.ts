import { NightlatchError } from "../core/errors.ts";
import { type CpioEntry, CpioReader } from "../formats/cpio.ts";
import { type InitramfsPart, walkInitramfs } from "../formats/initramfs.ts";
import type { System } from "../system/port.ts";

/** What opens volumes in an initramfs, told from what is in it. */
export type Stack = "initramfs-tools" | "dracut-systemd" | "dracut" | "mkinitcpio" | "mkinitcpio-systemd";

export interface InitramfsFacts {
  /** Null where no generator that is known made it. */
  readonly stack: Stack | null;
  /** Whether it can open a LUKS volume at all. */
  readonly opensLuks: boolean;
  /** `cryptroot/crypttab` (initramfs-tools) or `etc/crypttab`; null where there is none. */
  readonly crypttab: string | null;
  /** Kernel parameters that the initramfs brings along (dracut's etc/cmdline.d). */
  readonly ownCmdline: string;
  /** Whether it holds a file or folder, e.g. a key file that its crypttab names. */
  readonly has: (name: string) => boolean;
  /** Text of one of the few configuration files that are kept; null where it is not there. */
  readonly content: (name: string) => string | null;
  /** Releases whose modules it holds. */
  readonly releases: readonly string[];
}

const DEADLINE_MS = 120_000;

/**
 * What an initramfs holds. Uncompressed parts are listed in place; a compressed one goes through the system's own decompressor,
 * the one that its generator used, in a stream: nothing is unpacked to a disk, and only configuration is kept.
 * @throws NightlatchError initramfs/malformed, cpio/malformed, system/missing-program
 */
export async function inspectInitramfs(power: Pick<System, "run">, bytes: Buffer): Promise<InitramfsFacts> {
  const listing = new Listing();
  for (const part of walkInitramfs(bytes)) await listPart(power, bytes, part, listing);
  return listing.facts();
}

async function listPart(power: Pick<System, "run">, bytes: Buffer, part: InitramfsPart, into: Listing): Promise<void> {
  const reader = new CpioReader(
    (entry) => isConfiguration(entry.name),
    (entry, content) => into.add(entry, content),
  );
  const content = bytes.subarray(part.offsetBytes, part.offsetBytes + part.lengthBytes);
  if (part.compression === null) return reader.push(content);
  // What follows a compressed archive (padding, an overlay) makes some decompressors fail after they gave all of it.
  const { status } = await power.run({
    argv: [part.compression, "-dc"],
    stdin: content,
    deadlineMs: DEADLINE_MS,
    take: (chunk) => reader.push(chunk),
  });
  if (!reader.finished) {
    throw new NightlatchError(
      "initramfs/malformed",
      `the initramfs cannot be read: ${part.compression} ended with status ${status} before the archive did`,
      {
        meaning: "The kernel could not unpack it either. Nothing was changed.",
        remedy: "Make it anew, e.g.: update-initramfs -u",
      },
    );
  }
}

const CONFIGURATION =
  /^(?:cryptroot\/crypttab|etc\/crypttab|etc\/cmdline\.d\/[^/]+\.conf|etc\/cmdline|scripts\/init-bottom\/ORDER)$/;
const isConfiguration = (name: string): boolean => CONFIGURATION.test(name);

/** `/lib`, `/bin` and `/sbin` are links into /usr in most of them, and folders in some. */
const underUsr = (name: string): string =>
  name.replace(/^(lib|lib64|bin|sbin)\//, "usr/$1/").replace(/^usr\/sbin\//, "usr/bin/");

class Listing {
  readonly #names = new Set<string>();
  readonly #contents = new Map<string, string>();
  readonly #releases = new Set<string>();

  /** A later entry replaces an earlier one, as in the kernel. */
  add(entry: CpioEntry, content: Buffer | null): void {
    const name = underUsr(entry.name);
    this.#names.add(name);
    if (content !== null) this.#contents.set(entry.name, content.toString("utf8"));
    const release = /^usr\/lib\/modules\/([^/]+)\//.exec(name)?.[1];
    if (release !== undefined) this.#releases.add(release);
  }

  facts(): InitramfsFacts {
    const stack = this.#stack();
    const own = [...this.#contents].filter(([name]) => name.startsWith("etc/cmdline")).sort();
    return {
      stack,
      opensLuks: stack !== null && OPENERS[stack].every((name) => this.#names.has(name)),
      crypttab: this.#contents.get(stack === "initramfs-tools" ? "cryptroot/crypttab" : "etc/crypttab") ?? null,
      ownCmdline: own.map(([, text]) => text.trim().replaceAll("\n", " ")).join(" "),
      has: (name) => this.#names.has(underUsr(name.replace(/^\/+/, ""))),
      content: (name) => this.#contents.get(name) ?? null,
      releases: [...this.#releases],
    };
  }

  #stack(): Stack | null {
    const has = (name: string) => this.#names.has(name);
    const systemd = has("usr/lib/systemd/systemd");
    if (has("scripts/functions") && has("conf/initramfs.conf")) return "initramfs-tools";
    if (has("usr/lib/dracut/build-parameter.txt") || has("usr/lib/dracut-lib.sh") || has("usr/lib/dracut/hooks")) {
      return systemd ? "dracut-systemd" : "dracut";
    }
    if (has("init_functions") || has("buildconfig")) return systemd ? "mkinitcpio-systemd" : "mkinitcpio";
    return null;
  }
}

/** What each stack needs to open a LUKS volume; names after `underUsr`. */
const OPENERS: Readonly<Record<Stack, readonly string[]>> = {
  "initramfs-tools": ["usr/bin/cryptsetup", "scripts/local-top/cryptroot"],
  "dracut-systemd": ["usr/lib/systemd/systemd-cryptsetup"],
  dracut: ["usr/bin/cryptsetup", "usr/bin/cryptroot-ask"],
  mkinitcpio: ["usr/bin/cryptsetup", "hooks/encrypt"],
  "mkinitcpio-systemd": ["usr/lib/systemd/systemd-cryptsetup"],
};
