// @ts-nocheck
import type { EarlyLack } from "../boot/initramfs/clevis.ts";
import { type InitramfsFacts, inspectInitramfs } from "../boot/initramfs/inspect.ts";
import type { Mending } from "../boot/initramfs/mending.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import type { SetupRecord } from "../formats/own/initramfs-setup.ts";
import type { System } from "../system/port.ts";
import { type FilesPower, restoreSetupFiles, writeSetupFiles } from "./files.ts";
import {
  buildBeside,
  type Image,
  keepImage,
  listImages,
  putInPlace,
  removeKept,
  requireImageRoom,
  runOrFail,
  tellBootLoaders,
} from "./images.ts";
import type { SetupPlan } from "./plan.ts";
import { whyNotProved } from "./proof.ts";

type SetupPower = FilesPower & Pick<System, "run" | "readFile" | "freeBytes" | "listDirectory">;

/** What is to be done, and how a new initramfs is judged. */
interface SetupRequest {
  readonly stateFolder: string;
  /** Of the volume that needs it. */
  readonly uuid: string;
  readonly plan: SetupPlan;
  readonly mending: Mending;
  /** The next boot's. */
  readonly cmdline: string;
  /** What an initramfs lacks for the volume's binding, by the judgement of `check`. */
  readonly lacksOf: (facts: InitramfsFacts, release: string) => Promise<readonly Pick<EarlyLack, "what">[]>;
  /** Told of each step before it is done. */
  readonly tell: (step: string) => void;
}

const IMAGE_BYTES = 1 << 30;
const INSTALL_MS = 60 * 60_000;

/**
 * Does a plan: packages, files, and the initramfs of every kernel made anew beside the one that
 * boots, read back, proved, and only then put in its place. Where anything fails, files and images
 * are again as they were; packages that were installed stay. The caller holds the state folder's
 * lock.
 * @returns the images that were made
 * @throws NightlatchError setup/*, file/*, machine/bad-state, json/*, system/*, and what reading an
 *   initramfs throws
 */
export async function applySetup(system: SetupPower, request: SetupRequest): Promise<readonly Image[]> {
  const { plan, mending, stateFolder, uuid } = request;
  refusePackages(request);
  const images = await listImages(system);
  await requireImageRoom(system, mending.program, images);
  const before = new Map<Image, InitramfsFacts>();
  for (const image of images) before.set(image, await inspect(system, image.path));
  const record = await writeSetupFiles(system, stateFolder, uuid, plan.files);
  try {
    for (const image of images) await keepImage(system, mending.program, image);
    for (const name of plan.packages) {
      request.tell(mending.install(name));
      await runOrFail(system, installArgv(mending, name), INSTALL_MS);
    }
    for (const [image, facts] of before) await replaceProved(system, request, image, facts);
  } catch (error) {
    await undo(system, stateFolder, record, images);
    throw withMeaning(error, plan);
  }
  for (const image of images) await removeKept(system, image);
  return images;
}

/** @throws NightlatchError setup/not-proved, setup/failed */
async function replaceProved(
  system: SetupPower,
  { plan, mending, cmdline, lacksOf, tell }: SetupRequest,
  image: Image,
  before: InitramfsFacts,
): Promise<void> {
  const { path, release } = image;
  const whyNot = async (made: string) => {
    const after = await inspect(system, made);
    return whyNotProved({ before, after, cmdline, release }, await lacksOf(after, release));
  };
  // A package that was installed may have had its initramfs made anew already.
  if (plan.packages.length > 0 && (await whyNot(path)) === null) return;
  tell(`making the initramfs of ${release} anew`);
  const made = await buildBeside(system, mending.program, image);
  const why = await whyNot(made);
  if (why !== null) {
    throw new NightlatchError("setup/not-proved", `the initramfs that was made for ${release} is not proved: ${why}`);
  }
  await putInPlace(system, made, path);
  await tellBootLoaders(system, image);
}

async function inspect(system: SetupPower, path: string): Promise<InitramfsFacts> {
  return inspectInitramfs(system, await system.readFile(path, IMAGE_BYTES));
}

/** @throws NightlatchError setup/unsupported */
function refusePackages({ plan, mending }: SetupRequest): void {
  for (const name of plan.packages) {
    if (mending.install(name).startsWith("apt-get ")) continue;
    throw new NightlatchError("setup/unsupported", `${name} is to be installed, which is done here on Debian alone`, {
      meaning: "Nothing of the initramfs was changed.",
      remedy: `Install it, then run it again: ${mending.install(name)}`,
    });
  }
}

/**
 * Debian's dracut would make the newest image anew at the end of an install, and write it over the
 * one that boots; INITRD=No keeps it from that. What initramfs-tools makes then is renamed.
 */
function installArgv({ install, program }: Mending, name: string): readonly [string, ...string[]] {
  const trigger = program === "dracut" ? ["INITRD=No"] : [];
  return ["env", "DEBIAN_FRONTEND=noninteractive", ...trigger, ...install(name).split(" "), "-y"];
}

/** Puts back what booted before, then the files. */
async function undo(
  system: SetupPower,
  stateFolder: string,
  record: SetupRecord,
  images: readonly Image[],
): Promise<void> {
  for (const image of images) {
    const kept = `${image.path}.nightlatch-old`;
    // mv(1) refuses two names of one file.
    if ((await system.stat(kept)) !== null && !(await isSame(system, kept, image.path))) {
      await putInPlace(system, kept, image.path);
    }
    await removeKept(system, image);
  }
  await restoreSetupFiles(system, stateFolder, record);
}

async function isSame(system: SetupPower, one: string, other: string): Promise<boolean> {
  const there = await system.readFileIfPresent(other, IMAGE_BYTES);
  return there?.equals(await system.readFile(one, IMAGE_BYTES)) === true;
}

function withMeaning(error: unknown, { packages }: SetupPlan): unknown {
  if (!isError(error)) return error;
  const stay = packages.length === 0 ? "" : ` Packages that were installed stay: ${packages.join(", ")}.`;
  const meaning = `The initramfs that boots is as it was, and the configuration of its generator too.${stay}`;
  return new NightlatchError(error.code, error.message, {
    meaning,
    remedy: error.remedy ?? "See what is lacking, with commands: nightlatch check",
  });
}
