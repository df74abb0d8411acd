import { NightlatchError } from "../../core/errors.ts";
import { defaultExtlinuxEntry, parseExtlinux } from "../../formats/loader/extlinux.ts";
import { KERNEL_HEADER_BYTES, kernelRelease } from "../../formats/loader/kernel-image.ts";
import { listMounts, locateBootFile, type Mount, mountOf } from "../../host/mounts.ts";
import type { System } from "../../system/port.ts";
import { type BootEntry, readStart, wholeFile } from "./entry.ts";
import { grubEntry, grubFolders } from "./grub/configuration.ts";
import { newestKernel } from "./newest-kernel.ts";
import { hasOneShot, startedByStub, startedBySystemdBoot, systemdBootEntry } from "./systemd-boot/bootctl.ts";
import { unpackUnified } from "./unified/image.ts";

type Power = Pick<System, "run" | "stat" | "readFile" | "readFileIfPresent" | "readAt" | "listDirectory">;

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
  const root = mountOf(mounts, draft.kernel.path)?.target ?? "/";
  const unified = await unpackUnified(power, draft, root, wish.cmdline);
  const cmdline = async () => wish.cmdline ?? (wish.kernel === null ? draft.cmdline : await runningCmdline(power));
  const entry = unified ?? { ...draft, cmdline: await cmdline() };
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
    cmdline: "", // a unified image has its own
    release: null,
    notes: [],
  };
}

async function fromLoader(power: Power, mounts: readonly Mount[], wanted: string | null): Promise<BootEntry> {
  if (await startedBySystemdBoot(power)) return fromSystemdBoot(power, wanted);
  if (await startedByStub(power)) throw startedAnotherWay();
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
  const at = (path: string) => wholeFile(`${found.root.replace(/\/$/, "")}/${path.replace(/^\/+/, "")}`);
  return {
    title: found.title,
    source: "systemd-boot",
    once: wanted === null && (await hasOneShot(power)),
    id: found.id,
    kernel: found.type === "type2" ? wholeFile(found.path) : at(found.linux),
    initrds: found.initrds.map(at),
    cmdline: found.options,
    profile: found.profile,
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

function startedAnotherWay(): NightlatchError {
  return new NightlatchError(
    "boot/unsupported",
    "a unified kernel image was started here by no boot loader that is known, perhaps by the firmware itself",
    {
      meaning: "Which image the next boot takes cannot be told from here. Nothing was changed.",
      remedy: "Name it: --kernel, with the path of the image on the EFI system partition (see: bootctl status).",
    },
  );
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
