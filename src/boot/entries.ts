import { NightlatchError } from "../core/errors.ts";
import { defaultExtlinuxEntry, parseExtlinux } from "../formats/extlinux.ts";
import { KERNEL_HEADER_BYTES, kernelRelease } from "../formats/kernel-image.ts";
import { isUki, PE_HEADER_BYTES, parsePeSections } from "../formats/uki.ts";
import type { System } from "../system/port.ts";
import { type BootEntry, type BootFile, wholeFile } from "./entry.ts";
import { grubEntry, grubFolders } from "./grub.ts";
import { listMounts, locateBootFile, type Mount } from "./mounts.ts";
import { newestKernel } from "./newest-kernel.ts";
import { hasOneShot, startedBySystemdBoot, systemdBootEntry } from "./systemd-boot.ts";

type Power = Pick<System, "run" | "stat" | "readFile" | "readAt" | "listDirectory">;

/** What a person says about the entry; null where nothing is said. */
export interface EntryWish {
  /** The loader's own name of another entry than the one that would boot. */
  readonly entry: string | null;
  readonly kernel: string | null;
  readonly initrds: readonly string[];
  readonly cmdline: string | null;
}

export const NO_WISH: EntryWish = { entry: null, kernel: null, initrds: [], cmdline: null };

const EXTLINUX = "/boot/extlinux/extlinux.conf";
const CMDLINE_LIMIT_BYTES = 1 << 20;

/**
 * The entry that will boot: what the options name; what systemd-boot will take where it started this system; what GRUB or
 * extlinux will take; the newest installed kernel where there is no boot loader (a machine that is booted from outside).
 * Its files are there.
 * @throws NightlatchError boot/ambiguous, boot/no-entry, boot/not-mounted, boot/unsupported, and as the formats
 */
export async function findBootEntry(power: Power, wish: EntryWish): Promise<BootEntry> {
  const mounts = await listMounts(power);
  const draft = await (wish.kernel === null
    ? fromLoader(power, mounts, wish.entry)
    : fromOptions(power, wish.kernel, wish));
  const unpacked = await unpackUki(power, draft);
  const entry = wish.cmdline === null ? unpacked : { ...unpacked, cmdline: wish.cmdline };
  const start = await readStart(power, entry.kernel, KERNEL_HEADER_BYTES);
  return { ...entry, release: kernelRelease(start) ?? entry.release };
}

async function fromOptions(power: Power, kernel: string, wish: EntryWish): Promise<BootEntry> {
  for (const path of [kernel, ...wish.initrds]) {
    if ((await power.stat(path))?.kind !== "file") throw new NightlatchError("file/missing", `${path} is no file`);
  }
  return {
    title: kernel,
    source: "options",
    once: false,
    id: kernel,
    kernel: wholeFile(kernel),
    initrds: wish.initrds.map(wholeFile),
    cmdline: wish.cmdline ?? (await runningCmdline(power)),
    release: null,
    notes: [],
  };
}

async function fromLoader(power: Power, mounts: readonly Mount[], wanted: string | null): Promise<BootEntry> {
  if (await startedBySystemdBoot(power)) return fromSystemdBoot(power, wanted);
  const folders = await grubFolders(power);
  const extlinux = (await power.stat(EXTLINUX))?.kind === "file";
  const configurations = [...folders.map((folder) => `${folder}/grub.cfg`), ...(extlinux ? [EXTLINUX] : [])];
  if (configurations.length > 1) {
    throw new NightlatchError("boot/ambiguous", `there is more than one boot loader: ${configurations.join(", ")}`, {
      meaning: "Which of them the firmware starts cannot be told from here. Nothing was changed.",
      remedy: "Remove the one that is not used, or pass --kernel, --initrd and --cmdline.",
    });
  }
  if (folders[0] !== undefined) return fromGrub(power, mounts, folders[0], wanted);
  if (extlinux) return fromExtlinux(power, mounts, wanted);
  return newestKernel(power, await runningCmdline(power));
}

async function fromSystemdBoot(power: Power, wanted: string | null): Promise<BootEntry> {
  const found = await systemdBootEntry(power, wanted);
  if (found === null) throw noSuchEntry("systemd-boot", wanted, "bootctl list");
  const at = (path: string) => wholeFile(`${found.root}/${path.replace(/^\/+/, "")}`);
  return {
    title: found.title,
    source: "systemd-boot",
    once: wanted === null && (await hasOneShot(power)),
    id: found.id,
    kernel: found.type === "type2" ? wholeFile(found.path) : at(found.linux),
    initrds: found.initrds.map(at),
    cmdline: found.options,
    release: null,
    notes: [],
  };
}

async function fromGrub(
  power: Power,
  mounts: readonly Mount[],
  folder: string,
  wanted: string | null,
): Promise<BootEntry> {
  const found = await grubEntry(power, folder, wanted);
  if (found === null || (wanted !== null && !found.choice.asNamed))
    throw noSuchEntry("GRUB", wanted, `${folder}/grub.cfg`);
  const { entry, path, asNamed } = found.choice;
  const linux = entry.linux;
  if (linux === null) {
    throw new NightlatchError(
      "boot/unsupported",
      `GRUB's default entry ${JSON.stringify(entry.title)} loads no Linux`,
      {
        meaning: "Nothing was changed.",
        remedy: "Name another entry with --entry, by its id or title.",
      },
    );
  }
  const place = { fsUuid: linux.fsUuid, isRelative: linux.isRelative === true };
  const locate = (name: string) => locateBootFile(power, mounts, name, place).then(wholeFile);
  return {
    title: entry.title,
    source: "grub",
    once: found.once,
    id: path,
    kernel: await locate(linux.kernel),
    initrds: await Promise.all(linux.initrds.map(locate)),
    cmdline: linux.options,
    release: null,
    notes: asNamed ? [] : ["GRUB's default names an entry that is not there; it boots the first one instead"],
  };
}

async function fromExtlinux(power: Power, mounts: readonly Mount[], wanted: string | null): Promise<BootEntry> {
  const menu = parseExtlinux((await power.readFile(EXTLINUX, 256 * 1024)).toString("utf8"));
  const entry = wanted === null ? defaultExtlinuxEntry(menu) : menu.entries.find(({ label }) => label === wanted);
  if (entry === undefined || entry === null) throw noSuchEntry("extlinux", wanted, EXTLINUX);
  const anywhere = { fsUuid: null, isRelative: false };
  // Relative paths start from the configuration's own folder.
  const locate = (path: string) =>
    locateBootFile(power, mounts, path.startsWith("/") ? path : `/boot/extlinux/${path}`, anywhere).then(wholeFile);
  return {
    title: entry.title,
    source: "extlinux",
    once: false,
    id: entry.label,
    kernel: await locate(entry.kernel),
    initrds: await Promise.all(entry.initrds.map(locate)),
    cmdline: entry.options,
    release: null,
    notes: [],
  };
}

/** A unified image holds kernel, initramfs and command line; what the entry says beside it comes after. */
async function unpackUki(power: Power, entry: BootEntry): Promise<BootEntry> {
  const { path } = entry.kernel;
  const facts = await power.stat(path);
  if (facts === null) throw new NightlatchError("boot/no-entry", `${path}, the kernel of the next boot, is not there`);
  const sections = parsePeSections(await power.readAt(path, 0, PE_HEADER_BYTES), facts.sizeBytes);
  if (sections === null || !isUki(sections)) return entry;
  const section = (name: string): BootFile[] =>
    sections.filter((one) => one.name === name).map((one) => ({ path, section: one }));
  const [kernel] = section(".linux");
  if (kernel === undefined) return entry;
  const text = async (name: string) => {
    const [found] = section(name);
    if (found === undefined) return "";
    return (await readStart(power, found, CMDLINE_LIMIT_BYTES)).toString("utf8").replace(/\0.*$/s, "").trim();
  };
  return {
    ...entry,
    kernel,
    initrds: [...section(".ucode"), ...section(".initrd"), ...entry.initrds],
    cmdline: entry.cmdline === "" ? await text(".cmdline") : entry.cmdline,
    release: (await text(".uname")) || null,
  };
}

/** Up to `limitBytes` from the beginning of a file or part. @throws NightlatchError boot/no-entry, and as System.readAt */
export async function readStart(
  power: Pick<System, "readAt" | "stat">,
  file: BootFile,
  limitBytes: number,
): Promise<Buffer> {
  const { path, section } = file;
  if (section !== null) return power.readAt(path, section.offsetBytes, Math.min(section.lengthBytes, limitBytes));
  const facts = await power.stat(path);
  if (facts === null) throw new NightlatchError("boot/no-entry", `${path}, a file of the next boot, is not there`);
  return power.readAt(path, 0, Math.min(facts.sizeBytes, limitBytes));
}

async function runningCmdline(power: Pick<System, "readFile">): Promise<string> {
  return (await power.readFile("/proc/cmdline", CMDLINE_LIMIT_BYTES)).toString("utf8").trim();
}

function noSuchEntry(loader: string, wanted: string | null, where: string): NightlatchError {
  const what = wanted === null ? "has no entry that it would boot" : `has no entry ${JSON.stringify(wanted)}`;
  return new NightlatchError("boot/no-entry", `${loader} ${what}`, {
    meaning: "Nothing was changed.",
    remedy: `See ${where}, or pass --kernel, --initrd and --cmdline.`,
  });
}
