// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { KERNEL_HEADER_BYTES, kernelRelease } from "../../formats/loader/kernel-image.ts";
import { listMounts, mountOf } from "../../host/mounts.ts";
import { type BootEntry, readStart, wholeFile } from "./entry.ts";
import { extlinux } from "./extlinux/loader.ts";
import { grub } from "./grub/loader.ts";
import { type Loader, type LoaderPower, type LoaderRequest, runningCmdline } from "./loader.ts";
import { newestKernel } from "./newest-kernel.ts";
import { systemdBoot } from "./systemd-boot/loader.ts";
import { unpackUnified } from "./unified/image.ts";
import { unifiedImage } from "./unified/loader.ts";

/**
 * Every boot loader that is known, in the order in which they are asked. A new one is a folder
 * beside these, and a line here.
 */
export const LOADERS: readonly Loader[] = [systemdBoot, unifiedImage, grub, extlinux];

/** What a person says about the entry; null where nothing is said. */
export interface EntryOptions {
  /** The loader's own name of another entry than the one that would boot. */
  readonly entry: string | null;
  readonly kernel: string | null;
  readonly initrds: readonly string[];
  readonly cmdline: string | null;
}

/** Nothing is said: the entry that boots anyway. */
export const DEFAULT_ENTRY: EntryOptions = { entry: null, kernel: null, initrds: [], cmdline: null };

/**
 * Finds the entry that will boot. It is what the options name; else what a loader takes that
 * started this system, or that has a configuration; else the newest installed kernel, on a machine
 * that is booted from outside. The entry's files are there.
 * @throws NightlatchError boot/ambiguous, boot/no-entry, boot/not-mounted, boot/unsupported, and
 * what the formats throw
 */
export async function findBootEntry(
  system: LoaderPower,
  options: EntryOptions,
  loaders: readonly Loader[] = LOADERS,
): Promise<BootEntry> {
  const mounts = await listMounts(system);
  const draft = await (options.kernel === null
    ? fromLoader(system, { mounts, wanted: options.entry }, loaders)
    : fromOptions(system, options.kernel, options));
  const root = mountOf(mounts, draft.kernel.path)?.target ?? "/";
  const unified = await unpackUnified(system, draft, root, options.cmdline);
  const cmdline = async () =>
    options.cmdline ?? (options.kernel === null ? draft.cmdline : await runningCmdline(system));
  const entry = unified ?? { ...draft, cmdline: await cmdline() };
  const start = await readStart(system, entry.kernel, KERNEL_HEADER_BYTES);
  return { ...entry, release: kernelRelease(start) ?? entry.release };
}

async function fromOptions(system: LoaderPower, kernel: string, options: EntryOptions): Promise<BootEntry> {
  for (const path of [kernel, ...options.initrds]) {
    if ((await system.stat(path))?.kind !== "file") throw new NightlatchError("file/missing", `${path} is no file`);
  }
  return {
    title: kernel,
    source: "options",
    once: false,
    id: kernel,
    kernel: wholeFile(kernel),
    initrds: options.initrds.map(wholeFile),
    cmdline: "", // a unified image has its own
    release: null,
    notes: [],
  };
}

/**
 * One that started the running system is the one that boots next. Else the one with a configuration
 * is, which is for a person to tell where there are several.
 */
async function fromLoader(
  system: LoaderPower,
  request: Omit<LoaderRequest, "configuration">,
  loaders: readonly Loader[],
) {
  for (const loader of loaders) {
    if (await loader.hasStarted(system)) return loader.readEntry(system, { ...request, configuration: "" });
  }
  const found: { readonly loader: Loader; readonly configuration: string }[] = [];
  for (const loader of loaders) {
    for (const configuration of await loader.listConfigurations(system)) found.push({ loader, configuration });
  }
  const [first, ...others] = found;
  if (first === undefined) return newestKernel(system, await runningCmdline(system));
  if (others.length === 0) return first.loader.readEntry(system, { ...request, configuration: first.configuration });
  const configurations = found.map(({ configuration }) => configuration).join(", ");
  throw new NightlatchError("boot/ambiguous", `there is more than one boot loader: ${configurations}`, {
    meaning: "Which of them the firmware starts cannot be told from here. Nothing was changed.",
    remedy: "Remove the one that is not used, or pass --kernel, --initrd and --cmdline.",
  });
}
