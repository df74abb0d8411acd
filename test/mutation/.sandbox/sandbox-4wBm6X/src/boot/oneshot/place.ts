// @ts-nocheck
import type { FileSystem } from "../../host/file-system.ts";
import { fileSystemOf } from "../../host/file-system.ts";
import { BOOT_ROOTS } from "./files.ts";
import { type OneshotPower, unavailable } from "./loader.ts";

/** Far more than an overlay takes: a file system that is nearly full is not to be filled by us. */
const ROOM_BYTES = 1 << 20;

/**
 * Finds the one of BOOT_ROOTS below which our files come to lie on that file system.
 * @throws NightlatchError oneshot/unavailable
 */
export async function bootRootOf(system: OneshotPower, fileSystem: FileSystem): Promise<string> {
  const root = fileSystem.target === "/" ? "/boot" : BOOT_ROOTS.find((one) => one === fileSystem.target);
  if (root === undefined) {
    throw unavailable(
      `the initramfs lies on what is mounted at ${fileSystem.target}`,
      `Mount it at one of ${BOOT_ROOTS.join(", ")}.`,
    );
  }
  if ((await fileSystemOf(system, root)).target !== fileSystem.target)
    throw unavailable(`${root} is another file system than the one that the initramfs lies on`);
  return root;
}

/**
 * Makes sure that our files can be written there, and leave room.
 * @throws NightlatchError oneshot/unavailable
 */
export async function requireBootRoom(system: OneshotPower, root: string): Promise<void> {
  const { options } = await fileSystemOf(system, root);
  if (options.includes("ro"))
    throw unavailable(`${root} is mounted for reading only`, `Run: mount -o remount,rw ${root}`);
  const free = await system.freeBytes(root);
  if (free < ROOM_BYTES)
    throw unavailable(`${root} has no room left (${free} bytes)`, "Remove a kernel that is not needed.");
}
