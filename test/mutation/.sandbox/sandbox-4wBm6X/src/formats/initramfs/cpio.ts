// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * The archive of an initramfs: cpio "newc" (magic 070701; 070702 with a checksum is read, not
 * written), as the kernel's init/initramfs.c and
 * Documentation/driver-api/early-userspace/buffer-format.rst have it.
 */
export interface CpioEntry {
  /** Without a leading slash. */
  readonly name: string;
  /** File type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** How many names the file has. Those of one `fileId` are the same file; in one archive only. */
  readonly linkCount: number;
  /** Device and inode. */
  readonly fileId: string;
}

/** A regular file for an archive. */
export interface CpioFile {
  readonly name: string;
  /** Permission bits. */
  readonly mode: number;
  readonly content: Uint8Array;
}

/** Kinds of file in a mode: inode(7). */
export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";
/** PATH_MAX of the kernel's reader; a longer name is not unpacked by it either. */
const MAX_NAME_BYTES = 4096;

/** Bytes of zeros that bring `lengthBytes` to a multiple of 4. */
export const padTo4 = (lengthBytes: number): number => -lengthBytes & 3;

interface CpioHeader extends CpioEntry {
  readonly isTrailer: boolean;
  /** From the start of the header to the content. */
  readonly contentOffsetBytes: number;
  /** From the start of the header to the next one. */
  readonly lengthBytes: number;
}

/**
 * Reads the header at `offsetBytes`. Null where more bytes are needed to tell.
 * @throws NightlatchError cpio/malformed
 */
export function parseCpioHeader(bytes: Uint8Array, offsetBytes: number): CpioHeader | null {
  if (bytes.length - offsetBytes < HEADER_BYTES) return null;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + offsetBytes, HEADER_BYTES).toString("latin1");
  if (!/^07070[12][0-9A-Fa-f]{104}$/.test(text)) throw malformed(offsetBytes, "is no newc header");
  const field = (index: number) => Number.parseInt(text.slice(6 + index * 8, 14 + index * 8), 16);
  const nameBytes = field(11);
  if (nameBytes < 1 || nameBytes > MAX_NAME_BYTES) throw malformed(offsetBytes, `has a name of ${nameBytes} bytes`);
  const nameAt = offsetBytes + HEADER_BYTES;
  if (bytes.length < nameAt + nameBytes) return null;
  if (bytes[nameAt + nameBytes - 1] !== 0) throw malformed(offsetBytes, "has a name without an end");
  const name = Buffer.from(bytes.buffer, bytes.byteOffset + nameAt, nameBytes - 1).toString("utf8");
  const sizeBytes = field(6);
  const contentOffsetBytes = HEADER_BYTES + nameBytes + padTo4(HEADER_BYTES + nameBytes);
  return {
    name: name.replace(/^(?:\.?\/+)+/, ""),
    mode: field(1),
    sizeBytes,
    linkCount: field(4),
    fileId: `${field(7)}:${field(8)}:${field(0)}`,
    isTrailer: name === TRAILER,
    contentOffsetBytes,
    lengthBytes: contentOffsetBytes + sizeBytes + padTo4(sizeBytes),
  };
}

function malformed(offsetBytes: number, what: string): NightlatchError {
  return new NightlatchError("cpio/malformed", `the archive entry at byte ${offsetBytes} ${what}`);
}

/**
 * Writes an archive of these files, in order, with every folder on the way once and before what is
 * in it, for the kernel drops a file whose folder does not exist without a word. All belongs to
 * root, and times are zero: the same input gives the same bytes.
 * @param folderModes what a folder's mode is to be, 0755 where it does not say: it is applied to a
 * folder that exists, too
 */
export function writeCpio(files: readonly CpioFile[], folderModes: Readonly<Record<string, number>> = {}): Buffer {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  let inode = 1;
  for (const file of files) {
    for (const folder of parentsOf(file.name)) {
      if (folders.has(folder)) continue;
      folders.add(folder);
      parts.push(...member(inode++, folder, S_IFDIR | (folderModes[folder] ?? 0o755), new Uint8Array()));
    }
    parts.push(...member(inode++, file.name, S_IFREG | file.mode, file.content));
  }
  parts.push(...member(0, TRAILER, 0, new Uint8Array()));
  return Buffer.concat(parts);
}

function parentsOf(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function member(inode: number, name: string, mode: number, content: Uint8Array): Buffer[] {
  const nameBytes = Buffer.byteLength(name) + 1;
  const linkCount = (mode & S_IFMT) === S_IFDIR ? 2 : 1;
  const fields = [inode, mode, 0, 0, linkCount, 0, content.length, 0, 0, 0, 0, nameBytes, 0];
  const header = `070701${fields.map((value) => value.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
  return [
    Buffer.from(`${header}${name}\0`),
    Buffer.alloc(padTo4(HEADER_BYTES + nameBytes)),
    Buffer.from(content.buffer, content.byteOffset, content.byteLength),
    Buffer.alloc(padTo4(content.length)),
  ];
}

/**
 * Reads an archive that comes in pieces, as from a decompressor. Every entry is told; content is
 * kept only for those that `wants` names, up to `contentLimitBytes` each. Archives that follow each
 * other (NUL padding between) are read as one.
 * @throws NightlatchError cpio/malformed from `push`
 */
export class CpioReader {
  readonly #tell: (entry: CpioEntry, content: Buffer | null) => void;
  readonly #wants: (entry: CpioEntry) => boolean;
  readonly #endArchive: () => void;
  #pending: Buffer = Buffer.alloc(0);
  #skipBytes = 0;
  #finished = false;

  /** @param endArchive called at each archive's trailer */
  constructor(
    wants: (entry: CpioEntry) => boolean,
    tell: (entry: CpioEntry, content: Buffer | null) => void,
    endArchive: () => void = () => {},
  ) {
    this.#wants = wants;
    this.#tell = tell;
    this.#endArchive = endArchive;
  }

  /**
   * Whether the last archive that began was read to its trailer, and only padding came after it.
   */
  get finished(): boolean {
    return this.#finished && this.#pending.length === 0;
  }

  push(chunk: Buffer): void {
    const skipped = Math.min(this.#skipBytes, chunk.length);
    this.#skipBytes -= skipped;
    const rest = chunk.subarray(skipped);
    if (rest.length === 0) return;
    this.#pending = this.#pending.length === 0 ? rest : Buffer.concat([this.#pending, rest]);
    while (this.#step());
  }

  #step(): boolean {
    if (this.#finished) this.#dropPadding();
    const header = parseCpioHeader(this.#pending, 0);
    if (header === null) return false;
    this.#finished = false;
    if (header.isTrailer) {
      this.#finished = true;
      this.#endArchive();
      return this.#advance(header.lengthBytes);
    }
    if (!this.#wants(header) || header.sizeBytes > MAX_WANTED_BYTES) {
      this.#tell(header, null);
      return this.#advance(header.lengthBytes);
    }
    const end = header.contentOffsetBytes + header.sizeBytes;
    if (this.#pending.length < end) return false;
    this.#tell(header, Buffer.from(this.#pending.subarray(header.contentOffsetBytes, end)));
    return this.#advance(header.lengthBytes);
  }

  #dropPadding(): void {
    let at = 0;
    while (at < this.#pending.length && this.#pending[at] === 0) at++;
    this.#pending = this.#pending.subarray(at);
  }

  #advance(lengthBytes: number): boolean {
    const here = Math.min(lengthBytes, this.#pending.length);
    this.#skipBytes = lengthBytes - here;
    this.#pending = this.#pending.subarray(here);
    return this.#pending.length > 0;
  }
}

/** Configuration, not programs: what is larger is told without its content. */
const MAX_WANTED_BYTES = 1 << 20;
