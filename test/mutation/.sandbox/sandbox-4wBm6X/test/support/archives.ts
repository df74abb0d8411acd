/** Archives of an initramfs as no generator writes them, for tests that ask who unpacks them. */
// @ts-nocheck

import fc from "fast-check";
import { CpioReader, S_IFDIR, S_IFLNK, S_IFREG } from "../../src/formats/initramfs/cpio.ts";
import { RootFileSystem } from "../../src/formats/initramfs/rootfs.ts";

/** An entry as an archive has it, whatever that is. */
export interface RawEntry {
  readonly name: string;
  /** With the type, as in st_mode. */
  readonly mode: number;
  readonly content?: Buffer | string;
  readonly inode?: number;
  readonly linkCount?: number;
}

/** A newc archive of just these entries, and its trailer. */
export function rawCpio(entries: readonly RawEntry[]): Buffer {
  return Buffer.concat([...entries, { name: "TRAILER!!!", mode: 0 }].map(rawEntry));
}

function rawEntry({ name, mode, content = "", inode = 0, linkCount = 1 }: RawEntry): Buffer {
  const bytes = Buffer.from(content);
  const nameBytes = Buffer.byteLength(name) + 1;
  const fields = [inode, mode, 0, 0, linkCount, 0, bytes.length, 0, 0, 0, 0, nameBytes, 0];
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}${name}\0`);
  const pad = (lengthBytes: number) => Buffer.alloc(-lengthBytes & 3);
  return Buffer.concat([header, pad(header.length), bytes, pad(bytes.length)]);
}

/**
 * A device, and no pipe: the kernel would open one that a later entry links to, and wait for a
 * reader for ever.
 */
const S_IFCHR = 0o020000;

/** Few names, so that entries meet: over each other, through links, where no folder is. */
const NAMES = ["a", "b", "c", "a/a", "a/b", "b/a", "c/a", "c/b", "a/b/c", "b/c/a", "c/c/c", "./b", "a//b", "c/../a"];

/** Entries below a folder, which is the first of them. */
export function rawEntries(folder: string): fc.Arbitrary<RawEntry[]> {
  const name = fc.constantFrom(...NAMES).map((rest) => `${folder}/${rest}`);
  const content = fc.string({ unit: fc.constantFrom(..."xyz0"), maxLength: 9 });
  const inode = fc.integer({ min: 1, max: 3 });
  const targets = ["a", "b", "c", "../a", "a/b", ".", "..", `/${folder}/b`, `/${folder}/c/a`, "nowhere"];
  const entry: fc.Arbitrary<RawEntry> = fc.oneof(
    { arbitrary: fc.record({ name, mode: fc.constant(S_IFREG | 0o644), content }), weight: 4 },
    {
      arbitrary: fc.record({ name, mode: fc.constant(S_IFREG | 0o644), content, inode, linkCount: fc.constant(2) }),
      weight: 4,
    },
    { arbitrary: fc.record({ name, mode: fc.constant(S_IFDIR | 0o755) }), weight: 3 },
    {
      arbitrary: fc.record({ name, mode: fc.constant(S_IFLNK | 0o777), content: fc.constantFrom(...targets) }),
      weight: 2,
    },
    { arbitrary: fc.record({ name, mode: fc.constant(S_IFCHR | 0o600) }), weight: 1 },
  );
  const first: RawEntry = { name: folder, mode: S_IFDIR | 0o755 };
  return fc.array(entry, { maxLength: 14 }).map((rest) => [first, ...rest]);
}

/**
 * What RootFileSystem makes of archives that follow each other: a line a name, with the content of
 * what is a file.
 */
export function unpackedByModel(archives: readonly Buffer[]): string[] {
  const root = new RootFileSystem();
  for (const archive of archives) {
    const reader = new CpioReader(
      () => true,
      (entry, content) => root.add(entry, content),
      () => root.endArchive(),
    );
    reader.push(archive);
  }
  return [...root.names()].map((name) => `${name}=${root.content(name) ?? ""}`).sort();
}

export const COMPRESSORS = {
  none: ["cat"],
  gzip: ["gzip", "-nc"],
  bzip2: ["bzip2", "-c"],
  lzma: ["xz", "--format=lzma", "-c"],
  xz: ["xz", "--check=crc32", "-c"],
  lzop: ["lzop", "-c"],
  lz4: ["lz4", "-lqc"],
  zstd: ["zstd", "-qc"],
} as const satisfies Readonly<Record<string, readonly [string, ...string[]]>>;

export type Compressor = keyof typeof COMPRESSORS;
