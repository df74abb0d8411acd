/** Disks with a partition table, made in a file with no loop device: sfdisk writes the table, the partitions are copied in. */
import { closeSync, openSync, readSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { must } from "../../script/program.ts";

export interface Partition {
  /** A file with the partition's content, in whole MiB. */
  readonly file: string;
  /** As sfdisk names it: `L` for Linux, `U` for an EFI system partition. */
  readonly type: "L" | "U";
}

const MIB = 1 << 20;

/** The partitions in their order, each where the last one ended, the first at 1 MiB: the gap holds GRUB's core image on a BIOS. */
export async function makePartitionedDisk(
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
export async function makeEspFile(target: string, sizeMiB: number, volumeId: string): Promise<void> {
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
