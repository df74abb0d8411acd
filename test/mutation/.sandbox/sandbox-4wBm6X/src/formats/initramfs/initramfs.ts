// @ts-nocheck
import { type Compression, endOfCompressed } from "./compressed-end.ts";
import { padTo4, parseCpioHeader } from "./cpio.ts";
import { unreadable } from "./unreadable.ts";

/** One part of an initramfs: an archive as it is, or a compressed one. */
export interface InitramfsPart {
  /** Null: not compressed. */
  readonly compression: Compression | null;
  readonly startBytes: number;
  /** The byte behind it; null where only its decoder finds that out. */
  readonly endBytes: number | null;
}

/** First bytes of each, from the kernel's lib/decompress.c. */
const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["bzip2", [0x42, 0x5a]],
  ["lzma", [0x5d, 0x00]],
  ["xz", [0xfd, 0x37]],
  ["lzop", [0x89, 0x4c]],
  ["lz4", [0x02, 0x21]],
  ["zstd", [0x28, 0xb5]],
];

/**
 * Finds the next part of a concatenated initramfs, (NUL / cpio / compressed cpio)*, at `fromBytes`
 * or behind it, as unpack_to_rootfs of the kernel's init/initramfs.c goes on. Null where only NULs
 * are left. Nothing is decompressed. The kernel wants an uncompressed header at a multiple of 4;
 * one elsewhere is refused, as the kernel unpacks nothing from there on.
 * @throws NightlatchError initramfs/malformed, cpio/malformed
 */
export function nextPart(bytes: Uint8Array, fromBytes: number): InitramfsPart | null {
  let start = fromBytes;
  while (bytes[start] === 0) start++;
  if (start >= bytes.length) return null;
  if (bytes[start] === ASCII_ZERO && start % 4 === 0) {
    return { compression: null, startBytes: start, endBytes: endOfArchive(bytes, start) };
  }
  const compression = MAGICS.find(([, magic]) => magic.every((byte, index) => bytes[start + index] === byte))?.[0];
  if (compression === undefined) {
    throw unreadable(
      bytes[start] === ASCII_ZERO
        ? `an archive starts at byte ${start}, which is no multiple of 4`
        : `what starts at byte ${start} is neither an archive nor compressed`,
    );
  }
  return { compression, startBytes: start, endBytes: endOfCompressed(compression, bytes, start) };
}

const ASCII_ZERO = 0x30;

function endOfArchive(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const header = parseCpioHeader(bytes, at);
    if (header === null || at + header.lengthBytes > bytes.length + 3) throw unreadable("its last archive is cut off");
    at += header.lengthBytes;
    if (header.isTrailer) return Math.min(at, bytes.length);
  }
}

/**
 * Makes what goes between an initramfs and an uncompressed archive appended to it: the alignment,
 * and at least four NULs. Every decompressor of the kernel takes those for an end (LZ4's above all,
 * which reads a next block's size).
 */
export function paddingBeforeOverlay(initramfsLengthBytes: number): Buffer {
  return Buffer.alloc(4 + padTo4(initramfsLengthBytes));
}

/** Joins several initrds as a boot loader hands them over, each brought to a multiple of 4. */
export function joinInitrds(initrds: readonly Uint8Array[]): Buffer {
  return Buffer.concat(initrds.flatMap((initrd) => [initrd, Buffer.alloc(padTo4(initrd.byteLength))]));
}
