// @ts-nocheck
import type { GeneratorProgram } from "../boot/initramfs/mending.ts";
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import type { System } from "../system/port.ts";

/** The initramfs of one kernel, where Debian's generators put it. */
export interface Image {
  readonly path: string;
  /** The kernel's release. */
  readonly release: string;
}

const BOOT = "/boot";
const PREFIX = "initrd.img-";
/** An emulated or very small machine takes many minutes. */
const BUILD_MS = 60 * 60_000;
const BUILD_OUTPUT_BYTES = 16 << 20;
/** Beside the new image: what a boot loader or a package writes meanwhile. */
const SPARE_BYTES = 4 << 20;

/** Lists the images of the kernels that are installed, as update-initramfs(8) does for `-k all`. */
export async function listImages(system: Pick<System, "listDirectory" | "stat">): Promise<Image[]> {
  const names = (await system.listDirectory(BOOT)).filter((name) => name.startsWith(PREFIX));
  const images = names.map((name) => ({ path: `${BOOT}/${name}`, release: name.slice(PREFIX.length) }));
  const installed = await Promise.all(
    images.map(async ({ release }) => (await system.stat(`/lib/modules/${release}/modules.dep`)) !== null),
  );
  return images.filter((_, index) => installed[index] === true);
}

/**
 * Refuses where an image more, and what is kept of the others, does not fit beside them.
 * @throws NightlatchError file/full, file/*
 */
export async function requireImageRoom(
  system: Pick<System, "stat" | "freeBytes">,
  program: GeneratorProgram,
  images: readonly Image[],
): Promise<void> {
  const sizes = await Promise.all(images.map(async ({ path }) => (await system.stat(path))?.sizeBytes ?? 0));
  const copies = program === "dracut" ? sizes.reduce((sum, size) => sum + size, 0) : 0;
  const wanted = Math.ceil(Math.max(...sizes) * 1.3) + copies + SPARE_BYTES;
  const free = await system.freeBytes(BOOT);
  if (free >= wanted) return;
  const inMiB = (bytes: number) => Math.ceil(bytes / (1 << 20));
  throw new NightlatchError("file/full", `${BOOT} has ${inMiB(free)} MiB left, and ${inMiB(wanted)} are wanted`, {
    meaning:
      "The initramfs that boots stays in place until the new one beside it is proved. Nothing of it was changed.",
    remedy: "Make room there, for example by removing an old kernel, and run it again.",
  });
}

/**
 * Makes an image anew beside the one that boots, which stays as it is. No hook of a boot loader
 * runs.
 * @returns its path
 * @throws NightlatchError setup/failed, system/*
 */
export async function buildBeside(
  system: Pick<System, "run">,
  program: GeneratorProgram,
  { path, release }: Image,
): Promise<string> {
  const made = `${path}.nightlatch-new`;
  await runOrFail(system, ["rm", "-f", "--", made]);
  const argv: readonly [string, ...string[]] =
    program === "dracut"
      ? ["env", "NO_POST_UPDATE_HOOKS=1", "dracut", "--force", made, release]
      : ["mkinitramfs", "-o", made, release];
  await runOrFail(system, argv, BUILD_MS);
  return made;
}

/**
 * Puts a proved image in the place of the one that boots, by a rename: whenever the power goes, the
 * one or the other is there, whole.
 * @throws NightlatchError setup/failed, system/*
 */
export async function putInPlace(system: Pick<System, "run">, made: string, path: string): Promise<void> {
  await runOrFail(system, ["sync", made]);
  await runOrFail(system, ["mv", "-f", "-T", "--", made, path]);
  await runOrFail(system, ["sync", BOOT]);
}

/**
 * Keeps the image that boots under another name: a link, which takes no room, where the file system
 * has links. dracut writes into the file that is there, through every link to it: there it copies.
 * @throws NightlatchError setup/failed, system/*
 */
export async function keepImage(
  system: Pick<System, "run">,
  program: GeneratorProgram,
  { path }: Image,
): Promise<void> {
  const kept = `${path}.nightlatch-old`;
  await runOrFail(system, ["rm", "-f", "--", kept]);
  if (program !== "dracut") {
    const linked = await system.run({ argv: ["ln", "--", path, kept], timeoutMs: SMALL_PROGRAM_MS });
    if (linked.status === 0) return;
  }
  await runOrFail(system, ["cp", "-p", "--", path, kept]);
  await runOrFail(system, ["sync", kept]);
}

/** Removes what a set-up keeps beside an image. @throws NightlatchError file/* */
export async function removeKept(system: Pick<System, "removeFile">, { path }: Image): Promise<void> {
  for (const suffix of ["new", "old"]) await system.removeFile(`${path}.nightlatch-${suffix}`);
}

/**
 * Runs what boot loaders and others want to be told of a new initramfs, as update-initramfs and
 * Debian's dracut do.
 * @throws NightlatchError setup/failed, system/*
 */
export async function tellBootLoaders(system: Pick<System, "run" | "stat">, { path, release }: Image): Promise<void> {
  const folder = "/etc/initramfs/post-update.d";
  if ((await system.stat(folder)) === null) return;
  await runOrFail(system, ["run-parts", `--arg=${release}`, `--arg=${path}`, folder], BUILD_MS);
}

/**
 * Runs a program that has to succeed.
 * @throws NightlatchError setup/failed with the last lines that it said, system/*
 */
export async function runOrFail(
  system: Pick<System, "run">,
  argv: readonly [string, ...string[]],
  timeoutMs = SMALL_PROGRAM_MS,
): Promise<void> {
  const { status, stdout, stderr } = await system.run({ argv, timeoutMs, outputLimitBytes: BUILD_OUTPUT_BYTES });
  if (status === 0) return;
  const said = `${stdout.toString("utf8")}\n${stderr.toString("utf8")}`.trim().split("\n").slice(-3).join("; ");
  const what = argv.filter((word) => word !== "env" && !word.includes("=")).join(" ");
  throw new NightlatchError("setup/failed", `${what} ended with status ${status}: ${printable(said, 500)}`);
}
