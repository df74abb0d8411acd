// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

type Power = Pick<System, "run" | "stat" | "realPath" | "writeFile" | "removeFile" | "makeDirectory" | "listDirectory">;

/** Where a boot loader's file systems are mounted. None of our files lies anywhere else. */
export const BOOT_ROOTS = ["/boot", "/boot/efi", "/efi"] as const;
const folderOf = (root: string): string => `${root}/nightlatch`;
const OURS = /^oneshot\.(?:pad|cpio)(?:\.[0-9a-f]{12}\.tmp)?$/;

interface OneshotFiles {
  /** Zeros, and after them the archive: their names in the order in which they are loaded. */
  readonly pad: string;
  readonly overlay: string;
}

/**
 * Names our files on a boot loader's file system.
 * @param root one of BOOT_ROOTS
 */
export const oneshotFiles = (root: string): OneshotFiles => ({
  pad: `${folderOf(root)}/oneshot.pad`,
  overlay: `${folderOf(root)}/oneshot.cpio`,
});

/**
 * Writes both files, durably, for root alone where the file system knows owners.
 * @param padding brings the archive to a multiple of 4 whether the loader pads or not
 * (docs/format/oneshot.md)
 * @throws NightlatchError file/*, oneshot/unavailable where the folder leads elsewhere
 */
export async function writeOneshotFiles(system: Power, root: string, padding: Buffer, overlay: Buffer): Promise<void> {
  const { pad, overlay: path } = oneshotFiles(root);
  await system.makeDirectory(folderOf(root), 0o700);
  if (!(await isInPlace(system, root, folderOf(root)))) {
    throw new NightlatchError("oneshot/unavailable", `${folderOf(root)} leads to another place`, {
      meaning: "No key was written.",
      remedy: `Remove it: rm ${folderOf(root)}`,
    });
  }
  await system.writeFile(pad, padding, 0o400);
  await system.writeFile(path, overlay, 0o400);
}

/**
 * Lists our files, whole or cut short, on any of the file systems.
 * @throws NightlatchError file/*
 */
export async function listOneshotFiles(system: Pick<System, "listDirectory">): Promise<string[]> {
  const found: string[] = [];
  for (const root of BOOT_ROOTS) {
    const names = await system.listDirectory(folderOf(root));
    found.push(...names.filter((name) => OURS.test(name)).map((name) => `${folderOf(root)}/${name}`));
  }
  return found;
}

/**
 * Lists our folders with nothing in them. A run that was cut off at once leaves one.
 * @throws NightlatchError file/*
 */
export async function listEmptyFolders(system: Pick<System, "stat" | "listDirectory">): Promise<string[]> {
  const found: string[] = [];
  for (const root of BOOT_ROOTS) {
    const facts = await system.stat(folderOf(root));
    if (facts?.kind === "directory" && (await system.listDirectory(folderOf(root))).length === 0)
      found.push(folderOf(root));
  }
  return found;
}

/**
 * Overwrites one of our files, removes it, and makes sure that it is gone.
 * @throws NightlatchError oneshot/left-over, file/*
 */
export async function eraseOneshotFile(system: Power, path: string): Promise<void> {
  const root = BOOT_ROOTS.find((one) => path.startsWith(`${folderOf(one)}/`));
  // A link was put there by somebody else: what it leads to is not ours to overwrite.
  const isOurs = root !== undefined && (await isInPlace(system, root, path));
  const argv = ["shred", "--force", "--iterations=1", "--zero", path] as const;
  const wiped = isOurs ? (await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS })).status === 0 : true;
  await system.removeFile(path);
  if ((await system.stat(path)) !== null) throw leftOver(`${path} could not be removed`, `Run: shred -u ${path}`);
  if (!wiped)
    throw leftOver(`${path} was removed, and could not be overwritten before`, "Run: fstrim, where the disk can");
}

function leftOver(what: string, remedy: string): NightlatchError {
  const meaning = "It held disposable keys, which open nothing once their keyslots are gone.";
  return new NightlatchError("oneshot/left-over", what, { meaning, remedy });
}

/**
 * Removes our folders that are empty. What somebody else keeps in one keeps it.
 * @throws NightlatchError file/*, system/*
 */
export async function removeOneshotFolders(system: Power): Promise<void> {
  for (const folder of await listEmptyFolders(system))
    await system.run({ argv: ["rmdir", folder], timeoutMs: SMALL_PROGRAM_MS });
}

/** Whether a path below a root is reached over no link. */
async function isInPlace(system: Pick<System, "realPath">, root: string, path: string): Promise<boolean> {
  const [base, real] = [await system.realPath(root), await system.realPath(path)];
  return base !== null && real === `${base}${path.slice(root.length)}`;
}
