import { NightlatchError } from "../core/errors.ts";
import { padTo4, parseCpioHeader } from "./cpio.ts";

/** How a part is compressed; the names are also the programs that undo it. */
export type Compression = "gzip" | "bzip2" | "lzma" | "xz" | "lzop" | "lz4" | "zstd";

/** One part of an initramfs: an archive as it is, or a compressed one, which but for LZ4 reaches to the end of the file as far as can be told. */
export interface InitramfsPart {
  readonly kind: "cpio" | "compressed";
  readonly compression: Compression | null;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** First bytes of each, from the kernel's lib/decompress.c. */
const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["gzip", [0x1f, 0x9e]],
  ["bzip2", [0x42, 0x5a]],
  ["lzma", [0x5d, 0x00]],
  ["xz", [0xfd, 0x37]],
  ["lzop", [0x89, 0x4c]],
  ["lz4", [0x02, 0x21]],
  ["zstd", [0x28, 0xb5]],
];

const isCpioMagic = (bytes: Uint8Array, at: number): boolean =>
  bytes[at] === 0x30 && Buffer.from(bytes.buffer, bytes.byteOffset + at, 5).toString("latin1") === "07070";

/**
 * The parts of a concatenated initramfs: (NUL | cpio | compressed cpio)*. Nothing is decompressed. The kernel wants an
 * uncompressed header at a multiple of 4; it is refused elsewhere, as it would panic on it.
 * @throws NightlatchError initramfs/malformed, cpio/malformed
 */
export function walkInitramfs(bytes: Uint8Array): InitramfsPart[] {
  const parts: InitramfsPart[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] === 0) {
      at++;
      continue;
    }
    if (bytes.length - at >= 6 && isCpioMagic(bytes, at)) {
      if (at % 4 !== 0) throw malformed(`an archive starts at byte ${at}, which is no multiple of 4`);
      const end = endOfArchive(bytes, at);
      parts.push({ kind: "cpio", compression: null, offsetBytes: at, lengthBytes: end - at });
      at = end;
      continue;
    }
    const compression = MAGICS.find(([, magic]) => magic.every((byte, index) => bytes[at + index] === byte))?.[0];
    if (compression === undefined) throw malformed(`what starts at byte ${at} is neither an archive nor compressed`);
    const end = compression === "lz4" ? endOfLz4(bytes, at) : bytes.length;
    parts.push({ kind: "compressed", compression, offsetBytes: at, lengthBytes: end - at });
    at = end;
  }
  if (parts.length === 0) throw malformed("it is empty");
  return parts;
}

function endOfArchive(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const header = parseCpioHeader(bytes, at);
    if (header === null || at + header.lengthBytes > bytes.length + 3) throw malformed("its last archive is cut off");
    at += header.lengthBytes;
    if (header.isTrailer) return Math.min(at, bytes.length);
  }
}

const LZ4_MAGIC = 0x184c2102;

/**
 * Where the kernel's decoder of the legacy format stops (lib/decompress_unlz4.c since 5.13): before a block of no length, or where fewer
 * than four bytes are left. lz4(1) since 1.10 must not be given more: it ends there without writing what it has decoded.
 */
function endOfLz4(bytes: Uint8Array, start: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;
  while (bytes.length - at >= 4) {
    const lengthBytes = view.getUint32(at, true);
    if (lengthBytes === 0) break;
    at += lengthBytes === LZ4_MAGIC ? 4 : 4 + lengthBytes;
    if (at > bytes.length) throw malformed("a block of its LZ4 archive is cut off");
  }
  return at;
}

function malformed(what: string): NightlatchError {
  return new NightlatchError("initramfs/malformed", `the initramfs cannot be read: ${what}`);
}

/**
 * What to put between an initramfs and an uncompressed archive appended to it: the alignment, and at least four NULs, which
 * every decompressor of the kernel (LZ4's above all, which reads a next block's size) takes for an end.
 */
export function paddingBeforeOverlay(initramfsLengthBytes: number): Buffer {
  return Buffer.alloc(4 + padTo4(initramfsLengthBytes));
}

/** Several initrds as a boot loader hands them over: each brought to a multiple of 4. */
export function joinInitrds(initrds: readonly Uint8Array[]): Buffer {
  return Buffer.concat(initrds.flatMap((initrd) => [initrd, Buffer.alloc(padTo4(initrd.byteLength))]));
}
