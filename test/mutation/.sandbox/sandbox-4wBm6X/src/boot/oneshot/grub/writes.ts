// @ts-nocheck
import { programOutput } from "../../../host/block-devices.ts";
import { fileSystemOf } from "../../../host/file-system.ts";
import { type OneshotPower, unavailable } from "../loader.ts";

const BLOCK_BYTES = 1024;
/**
 * What GRUB overwrites in place without a part of the file system being told: it writes to the
 * blocks that it read.
 */
const WRITABLE = ["ext2", "xfs", "fat"];

/**
 * Makes sure that GRUB can take back its one-time choice itself, or the entry would boot for ever.
 * `save_env` writes to the blocks of grubenv, which works neither through LVM or RAID
 * (grub-core/disk/diskfilter.c) nor where a file system never writes in place.
 * @throws NightlatchError oneshot/unavailable, boot/unsupported
 */
export async function requireGrubWrites(system: OneshotPower, folder: string): Promise<void> {
  const path = `${folder}/grubenv`;
  const facts = await system.stat(path);
  if (facts?.kind !== "file" || facts.sizeBytes !== BLOCK_BYTES) {
    throw unavailable(`${path} is no environment block of ${BLOCK_BYTES} bytes`, `Run: grub-editenv ${path} create`);
  }
  if ((await system.lstat(path))?.kind !== "file")
    throw unavailable(`${path} is a link, over which GRUB does not write`);
  const { options, type } = await fileSystemOf(system, folder);
  if (options.includes("ro"))
    throw unavailable(`${folder} is mounted for reading only`, `Run: mount -o remount,rw ${folder}`);
  if (options.includes("data=journal"))
    throw unavailable(`${folder} lies on a file system with data=journal, which would undo what GRUB wrote`);
  const probe = folder.endsWith("2") ? "grub2-probe" : "grub-probe";
  const said = async (target: string) =>
    (await programOutput(system, [probe, `--target=${target}`, path])).toString("latin1").trim();
  const abstraction = (await said("abstraction")).split(/\s+/).filter((word) => word !== "");
  const through = abstraction.find((word) => word === "lvm" || word === "diskfilter" || word.startsWith("mdraid"));
  if (through !== undefined) {
    throw unavailable(
      `${path} lies on ${through}, through which GRUB cannot write: it would take the entry again at every boot`,
      "Use kexec, or keep /boot on a partition of its own.",
    );
  }
  const probed = await said("fs");
  if (WRITABLE.includes(probed)) return;
  throw unavailable(
    `${path} lies on ${probed || type}, on which GRUB does not write in place: it would take the entry again at every boot`,
    "Use kexec, or keep /boot on ext4, XFS or FAT.",
  );
}
