// @ts-nocheck
import type { NightlatchError } from "../../core/errors.ts";
import { unreadable } from "./unreadable.ts";

/** How a part of an initramfs is compressed. The names are also the programs that undo it. */
export type Compression = "gzip" | "bzip2" | "lzma" | "xz" | "lzop" | "lz4" | "zstd";

/**
 * Finds the byte behind a compressed archive that starts at `startBytes`: where the kernel's
 * decompressor stops, and its reader goes on (lib/decompress_*.c, init/initramfs.c). Null for gzip
 * and LZMA, whose end only their decoder finds. Nothing is decompressed, and each step consumes
 * something.
 * @throws NightlatchError initramfs/malformed
 */
export function endOfCompressed(compression: Compression, bytes: Uint8Array, startBytes: number): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (compression) {
    case "gzip":
    case "lzma":
      return null;
    case "bzip2":
      return endOfBzip2(bytes, startBytes);
    case "xz":
      return endOfXz(new Cursor(view, startBytes, "xz"));
    case "lzop":
      return endOfLzop(new Cursor(view, startBytes, "lzop"));
    case "lz4":
      return endOfLz4(new Cursor(view, startBytes, "LZ4"));
    case "zstd":
      return endOfZstd(new Cursor(view, startBytes, "zstd"));
  }
}

/** Reads forward, and refuses what lies behind the end. */
class Cursor {
  readonly #view: DataView;
  readonly #format: string;
  at: number;

  constructor(view: DataView, at: number, format: string) {
    this.#view = view;
    this.at = at;
    this.#format = format;
  }

  get leftBytes(): number {
    return this.#view.byteLength - this.at;
  }

  /** Where `lengthBytes` begin that are passed over. */
  skip(lengthBytes: number): number {
    if (this.leftBytes < lengthBytes) throw this.unreadable("is cut off");
    const start = this.at;
    this.at += lengthBytes;
    return start;
  }

  byte(): number {
    return this.#view.getUint8(this.skip(1));
  }

  peek(): number {
    const value = this.byte();
    this.at--;
    return value;
  }

  uint16(): number {
    return this.#view.getUint16(this.skip(2));
  }

  uint32(littleEndian = false): number {
    return this.#view.getUint32(this.skip(4), littleEndian);
  }

  unreadable(what: string): NightlatchError {
    return unreadable(`its ${this.#format} archive ${what}`);
  }
}

const LZ4_MAGIC = 0x184c2102;

/**
 * The legacy format: before a block of no length, or where fewer than four bytes are left (since
 * Linux 5.13). lz4(1) since 1.10 must not be given more: it ends there without writing what it has
 * decoded.
 */
function endOfLz4(cursor: Cursor): number {
  if (cursor.uint32(true) !== LZ4_MAGIC) throw cursor.unreadable("has another magic number than the kernel reads");
  while (cursor.leftBytes >= 4) {
    const lengthBytes = cursor.uint32(true);
    if (lengthBytes === 0) return cursor.at - 4;
    if (lengthBytes !== LZ4_MAGIC) cursor.skip(lengthBytes);
  }
  return cursor.at;
}

const LZOP_HAS_FILTER = 0x800;

/** Blocks of two lengths, one checksum and their bytes, until one of length 0. */
function endOfLzop(cursor: Cursor): number {
  cursor.skip(9); // the magic number
  const version = cursor.uint16();
  cursor.skip(5); // the library's version, the one that is needed, the method
  if (version >= 0x0940) cursor.skip(1); // the level
  if ((cursor.uint32() & LZOP_HAS_FILTER) !== 0) cursor.skip(4);
  cursor.skip(version >= 0x0940 ? 12 : 8); // mode and times
  cursor.skip(cursor.byte() + 4); // the file's name, and a checksum of all that
  for (;;) {
    if (cursor.uint32() === 0) return cursor.at;
    const lengthBytes = cursor.uint32();
    cursor.skip(4 + lengthBytes);
  }
}

/** What a frame's header takes: RFC 8878, section 3.1.1.1. */
const ZSTD_DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const ZSTD_CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
/** Windows that are larger are refused by the kernel (lib/zstd, ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
const ZSTD_WINDOW_LOG_MAX = 27;

/** One frame. The kernel takes a second one for the next archive. */
function endOfZstd(cursor: Cursor): number {
  if (cursor.uint32(true) !== 0xfd2fb528) throw cursor.unreadable("has another magic number than the kernel reads");
  const descriptor = cursor.byte();
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if (!isSingleSegment && (cursor.byte() >> 3) + 10 > ZSTD_WINDOW_LOG_MAX) {
    throw cursor.unreadable("needs a larger window than the kernel gives it");
  }
  const sizeFlag = descriptor >> 6;
  cursor.skip(ZSTD_DICTIONARY_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3]);
  cursor.skip(sizeFlag === 0 && isSingleSegment ? 1 : ZSTD_CONTENT_SIZE_BYTES[sizeFlag as 0 | 1 | 2 | 3]);
  for (;;) {
    const header = cursor.byte() | (cursor.byte() << 8) | (cursor.byte() << 16);
    const isRunLength = ((header >> 1) & 3) === 1;
    cursor.skip(isRunLength ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  if ((descriptor & 4) !== 0) cursor.skip(4); // the content's checksum
  return cursor.at;
}

/**
 * Bytes of a block's check: none, CRC32. The kernel knows no other (Documentation/staging/xz.rst).
 */
const XZ_CHECK_BYTES: ReadonlyMap<number, number> = new Map([
  [0, 0],
  [1, 4],
]);

/** One stream: header, blocks of LZMA2 chunks, index, footer (the .xz file format 1.1.0). */
function endOfXz(cursor: Cursor): number {
  cursor.skip(7); // the magic number, and the first byte of the flags
  const checkBytes = XZ_CHECK_BYTES.get(cursor.byte());
  if (checkBytes === undefined) throw cursor.unreadable("has a check that the kernel does not know (--check=crc32)");
  cursor.skip(4);
  const startBytes = cursor.at; // multiples of 4 count from the stream's start, as here
  const align = () => cursor.skip(-(cursor.at - startBytes) & 3);
  while (cursor.peek() !== 0) {
    cursor.skip(cursor.peek() * 4 + 4); // the block's header
    skipLzma2(cursor);
    align();
    cursor.skip(checkBytes);
  }
  cursor.skip(1);
  const records = variableInteger(cursor);
  for (let index = 0; index < records; index++) {
    variableInteger(cursor);
    variableInteger(cursor);
  }
  align();
  cursor.skip(4 + 12); // the index's checksum, the footer
  return cursor.at;
}

/** Chunks, each of which begins with how long it is; a zero byte ends them. */
function skipLzma2(cursor: Cursor): void {
  for (;;) {
    const control = cursor.byte();
    if (control === 0) return;
    if (control >= 0x80) {
      cursor.skip(2); // the length of what comes out
      const lengthBytes = cursor.uint16() + 1;
      cursor.skip(lengthBytes + (control >= 0xc0 ? 1 : 0));
    } else if (control <= 2) {
      cursor.skip(cursor.uint16() + 1);
    } else throw cursor.unreadable("has a chunk of no kind that there is");
  }
}

/** Nine bytes of seven bits each, at most. What is larger than a file can be is refused. */
function variableInteger(cursor: Cursor): number {
  let value = 0;
  for (let index = 0; index < 9; index++) {
    const byte = cursor.byte();
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return value;
  }
  throw cursor.unreadable("has an index with a number that does not end");
}

/**
 * The 48 bits that end a stream of bzip2, the square root of pi, in halves; then comes a checksum
 * of 32.
 */
const BZIP2_END_HIGH = 0x177245;
const BZIP2_END_LOW = 0x385090;

/**
 * Blocks have no lengths: the mark of the end is looked for at every bit. Who decompresses sees
 * whether it was the end.
 */
function endOfBzip2(bytes: Uint8Array, startBytes: number): number {
  let high = 0;
  let low = 0;
  for (let at = startBytes + 4; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    for (let bit = 7; bit >= 0; bit--) {
      high = ((high << 1) & 0xffffff) | (low >>> 23);
      low = ((low << 1) & 0xffffff) | ((byte >> bit) & 1);
      if (low !== BZIP2_END_LOW || high !== BZIP2_END_HIGH) continue;
      // The checksum ends in the fourth byte after this one, wherever in it the mark ended.
      if (at + 5 <= bytes.length) return at + 5;
    }
  }
  throw unreadable("its bzip2 archive has no end");
}
