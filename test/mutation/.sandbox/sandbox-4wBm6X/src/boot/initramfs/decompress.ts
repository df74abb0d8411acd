// @ts-nocheck
import { createInflateRaw } from "node:zlib";
import { NightlatchError } from "../../core/errors.ts";
import type { Compression } from "../../formats/initramfs/compressed-end.ts";
import { unreadable } from "../../formats/initramfs/unreadable.ts";
import type { System } from "../../system/port.ts";

const DEADLINE_MS = 120_000;
/** An archive that grows beyond this is not unpacked by a machine either. */
const OUTPUT_LIMIT_BYTES = 4 * 2 ** 30;

/**
 * Decompresses a part of an initramfs, and gives `take` what it holds, piece by piece.
 * @param content ends where the part does; for gzip and LZMA, whose end only their decoder finds,
 * it may go on
 * @returns the part's length in bytes
 * @throws NightlatchError initramfs/malformed, system/missing-program, and what `take` throws
 */
export async function decompress(
  system: Pick<System, "run">,
  compression: Compression,
  content: Buffer,
  take: (chunk: Buffer) => void,
): Promise<number> {
  const bounded = boundedBy(OUTPUT_LIMIT_BYTES, take);
  if (compression === "gzip") return inflate(content, bounded);
  const argv = [compression, "-dc"] as const;
  const { status } = await system.run({ argv, stdin: content, timeoutMs: DEADLINE_MS, take: bounded });
  if (status !== 0) {
    if (compression !== "lzma") throw unreadable(`${compression} ended with status ${status}`);
    await requireLzmaToEnd(system, content);
  }
  return content.length;
}

/**
 * What the kernel's gunzip reads of the header (lib/decompress_inflate.c): no extra field, comment
 * or checksum.
 */
const HEADER_BYTES = 10;
const HAS_NAME = 8;
const READ_FLAGS = 1 | HAS_NAME;
const TRAILER_BYTES = 8;

/** One member, as the kernel reads it; gzip(1) would go on to the next. */
async function inflate(content: Buffer, take: (chunk: Buffer) => void): Promise<number> {
  const flags = content[3] ?? 0xff;
  if (content.length < HEADER_BYTES || content[2] !== 8 || (flags & ~READ_FLAGS) !== 0) {
    throw unreadable("its gzip archive has a header that the kernel does not read");
  }
  const nameEnd = (flags & HAS_NAME) === 0 ? HEADER_BYTES - 1 : content.indexOf(0, HEADER_BYTES);
  if (nameEnd < 0) throw unreadable("its gzip archive is cut off");
  const stream = createInflateRaw();
  const deflated = content.subarray(nameEnd + 1);
  const done = new Promise<void>((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => {
      try {
        take(chunk);
      } catch (error) {
        stream.destroy();
        reject(error);
      }
    });
    stream.once("end", resolve);
    stream.once("error", () => reject(unreadable("its gzip archive is damaged or cut off")));
  });
  stream.end(deflated);
  await done;
  const lengthBytes = nameEnd + 1 + stream.bytesWritten + TRAILER_BYTES;
  if (lengthBytes > content.length) throw unreadable("its gzip archive is cut off");
  return lengthBytes;
}

/** Zeros at its end that may be the archive's own. */
const LZMA_ZEROS = 8;

/**
 * An LZMA archive says nowhere how long it is. lzma(1) gives all of it and then fails where
 * something follows: where that is more than NULs, the kernel would unpack it.
 */
async function requireLzmaToEnd(system: Pick<System, "run">, content: Buffer): Promise<void> {
  let end = content.length;
  while (end > 0 && content[end - 1] === 0) end--;
  for (let zeros = 0; zeros <= LZMA_ZEROS && end + zeros <= content.length; zeros++) {
    const stdin = content.subarray(0, end + zeros);
    const { status } = await system.run({ argv: ["lzma", "-dc"], stdin, timeoutMs: DEADLINE_MS, take: () => {} });
    if (status === 0) return;
  }
  throw new NightlatchError("initramfs/malformed", "what follows an LZMA archive in the initramfs cannot be told", {
    meaning:
      "It may be cut off, or be followed by more. What the next boot would do is not known. Nothing was changed.",
    remedy: "Have the initramfs made with another compression, such as zstd.",
  });
}

function boundedBy(limitBytes: number, take: (chunk: Buffer) => void): (chunk: Buffer) => void {
  let lengthBytes = 0;
  return (chunk) => {
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes) throw unreadable(`it holds more than ${limitBytes} bytes`);
    take(chunk);
  };
}
