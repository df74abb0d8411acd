// @ts-nocheck
import { createHash, timingSafeEqual } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { parseJson } from "../json/json.ts";
import { type Luks2Metadata, readLuks2Metadata } from "./luks2-metadata.ts";

/**
 * The LUKS2 header on disk, two copies of it (LUKS2 On-Disk Format Specification 1.1.1, section 2).
 * Each copy is a binary header of 4096 bytes and a JSON area; the first lies at offset 0, the
 * second right behind it.
 */
export interface Luks2Header extends Luks2Metadata {
  readonly version: 2;
  readonly uuid: string;
  readonly label: string;
  readonly subsystem: string;
  /** Grows with every change of the header. */
  readonly seqid: bigint;
  /** Of one copy: binary header and JSON area. */
  readonly sizeBytes: number;
  /** How many bytes its JSON may still grow by; a zero has to stand behind it. */
  readonly freeBytes: number;
}

/**
 * The sizes that one copy can have, and so the offsets at which a second copy can lie (section 2.1,
 * table 1).
 */
export const LUKS2_SIZES_BYTES: readonly number[] = [14, 15, 16, 17, 18, 19, 20, 21, 22].map((bits) => 1 << bits);

const PRIMARY_MAGIC = Buffer.from("LUKS\xba\xbe", "latin1");
const SECONDARY_MAGIC = Buffer.from("SKUL\xba\xbe", "latin1");
const BINARY_BYTES = 4096;
const JSON_DEPTH = 32; // json-c's own limit, which cryptsetup keeps

/**
 * Gives the size that a copy at `offsetBytes` claims to have; null where no LUKS2 header begins.
 * @param head at least the first 512 bytes of it
 */
export function peekLuks2(head: Buffer, offsetBytes: number): number | null {
  const magic = offsetBytes === 0 ? PRIMARY_MAGIC : SECONDARY_MAGIC;
  if (head.length < 512 || !head.subarray(0, 6).equals(magic) || head.readUInt16BE(6) !== 2) return null;
  const sizeBytes = head.readBigUInt64BE(8);
  return LUKS2_SIZES_BYTES.find((known) => BigInt(known) === sizeBytes) ?? null;
}

/** A copy whose checksum matches; what it says is not read yet. */
export interface Luks2Copy {
  readonly which: "primary" | "secondary";
  readonly seqid: bigint;
  readonly bytes: Buffer;
}

/**
 * Verifies a copy's checksum.
 * @param bytes the whole copy, as long as `peekLuks2` says
 * @throws NightlatchError luks/damaged, luks/unsupported
 */
export function verifyLuks2Copy(bytes: Buffer, offsetBytes: number): Luks2Copy {
  const sizeBytes = peekLuks2(bytes, offsetBytes);
  if (sizeBytes === null || bytes.length !== sizeBytes) throw damaged("it does not begin as one, or is cut short");
  if (bytes.readBigUInt64BE(256) !== BigInt(offsetBytes)) throw damaged("it was written for another place");
  if (offsetBytes !== 0 && offsetBytes !== sizeBytes) throw damaged("it does not lie where its size puts it");
  verifyChecksum(bytes);
  return { which: offsetBytes === 0 ? "primary" : "secondary", seqid: bytes.readBigUInt64BE(16), bytes };
}

/**
 * Reads what a copy says.
 * @throws NightlatchError luks/damaged
 */
export function readLuks2Copy({ bytes, seqid }: Luks2Copy): Luks2Header {
  const area = bytes.subarray(BINARY_BYTES);
  return {
    version: 2,
    uuid: readText(bytes, 168, 40),
    label: readText(bytes, 24, 48),
    subsystem: readText(bytes, 208, 48),
    seqid,
    sizeBytes: bytes.length,
    ...readLuks2Metadata(parseLuks2Json(area)),
    freeBytes: area.length - 1 - area.indexOf(0),
  };
}

/** Sorts copies: the newer first; at a tie the first on the disk, as cryptsetup has it. */
export function newestFirst(copies: readonly Luks2Copy[]): readonly Luks2Copy[] {
  return [...copies].sort((a, b) => {
    if (a.seqid !== b.seqid) return a.seqid > b.seqid ? -1 : 1;
    return a.which === "primary" ? -1 : 1;
  });
}

/** Computes the checksum over the whole copy, with its own field as zeros (section 2.3). */
function verifyChecksum(copy: Buffer): void {
  const algorithm = readText(copy, 72, 32);
  if (algorithm !== "sha256") {
    throw new NightlatchError(
      "luks/unsupported",
      `the LUKS2 header's checksum is not sha256 but ${JSON.stringify(printable(algorithm))}`,
    );
  }
  const sum = createHash("sha256");
  sum.update(copy.subarray(0, 448)).update(Buffer.alloc(64)).update(copy.subarray(512));
  if (!timingSafeEqual(sum.digest(), copy.subarray(448, 480))) throw damaged("its checksum does not match");
}

/** A JSON object from the first byte on, then zeros to the end (section 3). */
function parseLuks2Json(area: Buffer) {
  const end = area.indexOf(0);
  if (end <= 0 || area[0] !== 0x7b) throw damaged("its JSON area is empty or has no end");
  if (!area.subarray(end).equals(Buffer.alloc(area.length - end)))
    throw damaged("its JSON area holds data behind its end");
  try {
    return parseJson(area.subarray(0, end), "the LUKS2 metadata", { lengthBytes: area.length, depth: JSON_DEPTH });
  } catch (error) {
    throw damaged("its metadata cannot be read", error);
  }
}

/** A text field padded with zeros. */
function readText(copy: Buffer, offsetBytes: number, lengthBytes: number): string {
  const field = copy.subarray(offsetBytes, offsetBytes + lengthBytes);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? lengthBytes : end).toString("utf8");
}

function damaged(why: string, cause?: unknown): NightlatchError {
  return new NightlatchError("luks/damaged", `the LUKS2 header is damaged: ${why}`, { cause });
}
