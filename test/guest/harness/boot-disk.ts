/**
 * Boot disks, with a partition table or without, made in a file with no loop device: sfdisk writes
 * the table, the partitions are copied in.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { makeFileSystem } from "./image.ts";
import { ESP_VOLUME_ID, type LoaderKind } from "./loader.ts";

interface Partition {
  /** A file with the partition's content, in whole MiB. */
  readonly file: string;
  /** As sfdisk names it: `L` for Linux, `U` for an EFI system partition. */
  readonly type: "L" | "U";
}

const MIB = 1 << 20;
const BOOT_MIB = 256;

/**
 * `boot.raw` in `out`. /boot of the tree goes to that disk (null: a guest without a loader), or to
 * a partition of it behind the EFI system partition, or stays in the tree.
 */
export async function makeBootDisk(
  kind: LoaderKind | null,
  tree: string,
  out: string,
  bootUuid: string,
): Promise<void> {
  const [disk, boot, esp] = [join(out, "boot.raw"), join(out, "boot-partition"), join(out, "esp-partition")];
  if (kind === null || kind.ownBoot) {
    const folder = join(out, "boot-tree");
    renameSync(join(tree, "boot"), folder);
    mkdirSync(join(tree, "boot"));
    await makeFileSystem(folder, boot, BOOT_MIB);
    await must(["tune2fs", "-U", bootUuid, boot]);
    rmSync(folder, { recursive: true });
  }
  if (kind === null) return renameSync(boot, disk);
  const partitions: Partition[] = [];
  if (kind.espMiB !== null) {
    await makeEspFile(esp, kind.espMiB, ESP_VOLUME_ID);
    partitions.push({ file: esp, type: "U" });
  }
  if (kind.ownBoot) partitions.push({ file: boot, type: "L" });
  await makePartitionedDisk(disk, kind.label, partitions);
  for (const { file } of partitions) rmSync(file);
}

/**
 * The partitions in their order, each where the last one ended, the first at 1 MiB: the gap holds
 * GRUB's core image on a BIOS.
 */
async function makePartitionedDisk(
  target: string,
  label: "dos" | "gpt",
  partitions: readonly Partition[],
): Promise<void> {
  const sizesMiB = partitions.map(({ file }) => statSync(file).size / MIB);
  const startsMiB = sizesMiB.map((_, index) => 1 + sizesMiB.slice(0, index).reduce((sum, size) => sum + size, 0));
  const endMiB = 1 + sizesMiB.reduce((sum, size) => sum + size, 0);
  writeFileSync(target, "");
  truncateSync(target, (endMiB + 1) * MIB); // GPT's second table lies at the end
  const lines = partitions.map(
    ({ type }, index) => `start=${startsMiB[index]}MiB, size=${sizesMiB[index]}MiB, type=${type}`,
  );
  await must(["sfdisk", "--quiet", target], 60_000, Buffer.from(`label: ${label}\n${lines.join("\n")}\n`));
  for (const [index, { file }] of partitions.entries()) copyInto(file, target, Number(startsMiB[index]) * MIB);
}

/** An empty EFI system partition with that volume number, eight hex digits. */
async function makeEspFile(target: string, sizeMiB: number, volumeId: string): Promise<void> {
  writeFileSync(target, "");
  truncateSync(target, sizeMiB * MIB);
  await must(["mkfs.vfat", "-F", "32", "-n", "ESP", "-i", volumeId, target]);
}

/** Copies what is not zero, so that the target stays sparse. */
function copyInto(file: string, target: string, offsetBytes: number): void {
  const chunk = Buffer.alloc(MIB);
  const zeros = Buffer.alloc(MIB);
  const [source, sink] = [openSync(file, "r"), openSync(target, "r+")];
  try {
    for (let atBytes = 0; ; ) {
      const readBytes = readSync(source, chunk, 0, chunk.length, atBytes);
      if (readBytes === 0) break;
      const part = chunk.subarray(0, readBytes);
      if (!part.equals(zeros.subarray(0, readBytes))) writeSync(sink, part, 0, readBytes, offsetBytes + atBytes);
      atBytes += readBytes;
    }
  } finally {
    closeSync(source);
    closeSync(sink);
  }
}
