// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { LUKS1_KEYSLOTS, type Luks1Header } from "./luks1.ts";

/**
 * What luksmeta keeps in the unused space between LUKS1's last keyslot area and its data ("the
 * hole"): a table with one entry a keyslot, and what each entry points to. Clevis keeps its
 * bindings of LUKS1 volumes there. All numbers are big-endian; the format has no specification
 * beyond luksmeta's own libluksmeta.c, version 9.
 */
export interface LuksmetaEntry extends Extent {
  /** The LUKS1 keyslot that it belongs to. */
  readonly keyslot: number;
  /** Lower case, with dashes; whose data it is. */
  readonly uuid: string;
  readonly crc32c: number;
}

interface Extent {
  /** From the start of the device. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * The UUID of a compact JWE that `clevis luks bind` made (CLEVIS_UUID in
 * clevis-luks-common-functions).
 */
export const CLEVIS_UUID = "cb6e8904-81ff-40da-a84a-07ab9ab5715e";

type Hole = Extent;

/** The length of luksmeta's table. */
export const LUKSMETA_TABLE_BYTES = 272;

const PAGE_BYTES = 4096;
const MAGIC = Buffer.from("LUKSMETA", "latin1");
const VERSION = 1;
const ENTRIES_OFFSET = 16;
const ENTRY_BYTES = 32;
const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/**
 * Finds the whole pages between keyslots and data; null where there are none (a detached header, an
 * odd layout).
 */
export function findHole(header: Luks1Header): Hole | null {
  const ends = header.keyslots.map((slot) => slot.areaOffsetBytes + slot.areaLengthBytes);
  const offsetBytes = Math.ceil(Math.max(...ends) / PAGE_BYTES) * PAGE_BYTES;
  const lengthBytes = Math.floor((header.payloadOffsetBytes - offsetBytes) / PAGE_BYTES) * PAGE_BYTES;
  return lengthBytes >= PAGE_BYTES ? { offsetBytes, lengthBytes } : null;
}

/**
 * Reads the table.
 * @param table the hole's first LUKSMETA_TABLE_BYTES
 * @returns the entries in use; null where luksmeta was never set up
 * @throws NightlatchError luks/damaged
 */
export function parseLuksmeta(table: Buffer, hole: Hole): readonly LuksmetaEntry[] | null {
  if (table.length < LUKSMETA_TABLE_BYTES || !table.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  if (table.readUInt32BE(8) !== VERSION) throw damaged(`its version is ${table.readUInt32BE(8)}`);
  const unsummed = Buffer.from(table.subarray(0, LUKSMETA_TABLE_BYTES));
  unsummed.writeUInt32BE(0, 12);
  if (crc32c(unsummed) !== table.readUInt32BE(12)) throw damaged("its checksum does not match");
  return Array.from({ length: LUKS1_KEYSLOTS }, (_, keyslot) => readEntry(table, keyslot, hole)).filter(
    (entry) => entry !== null,
  );
}

function readEntry(table: Buffer, keyslot: number, hole: Hole): LuksmetaEntry | null {
  const at = ENTRIES_OFFSET + keyslot * ENTRY_BYTES;
  const uuid = formatUuid(table.subarray(at, at + 16));
  if (uuid === NIL_UUID) return null;
  const offsetBytes = table.readUInt32BE(at + 16);
  const lengthBytes = table.readUInt32BE(at + 20);
  if (offsetBytes < PAGE_BYTES || offsetBytes + lengthBytes > hole.lengthBytes) {
    throw damaged(`its entry for keyslot ${keyslot} points outside of it`);
  }
  return {
    keyslot,
    uuid,
    offsetBytes: hole.offsetBytes + offsetBytes,
    lengthBytes,
    crc32c: table.readUInt32BE(at + 24),
  };
}

/**
 * Finds where luksmeta will put so much data (find_gap and overlap in libluksmeta.c, versions 1 to
 * 10): the first page that begins in no entry's beginning or end, as it counts. A gap that lies
 * wholly inside of a larger entry counts as free to it (not to Debian's 10-2), and before version
 * 10 so does what lies behind the hole (CVE-2025-11568).
 * @returns bytes from the start of the device; `full` where nothing is free, `taken` where luksmeta
 *   would write over somebody's data
 */
export function findGap(
  hole: Hole,
  entries: readonly Extent[],
  lengthBytes: number,
): { readonly offsetBytes: number } | "full" | "taken" {
  const endOfHole = hole.offsetBytes + hole.lengthBytes;
  const sizeBytes = Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
  for (let start = hole.offsetBytes + PAGE_BYTES; start < endOfHole; start += PAGE_BYTES) {
    const wanted = { offsetBytes: start, lengthBytes: sizeBytes };
    if (entries.some((entry) => luksmetaSees(wanted, entry))) continue;
    if (start + sizeBytes > endOfHole) return "full";
    return entries.some((entry) => shareBytes(wanted, entry)) ? "taken" : { offsetBytes: start };
  }
  return "full";
}

/** Does what overlap() in libluksmeta.c does, to the letter. */
function luksmetaSees(wanted: Extent, entry: Extent): boolean {
  const [start, end] = [wanted.offsetBytes, endOf(wanted)];
  return (start <= entry.offsetBytes && entry.offsetBytes < end) || (start < endOf(entry) && endOf(entry) <= end);
}

/** Tells whether two stretches have a byte in common. */
export function shareBytes(one: Extent, other: Extent): boolean {
  return one.offsetBytes < endOf(other) && other.offsetBytes < endOf(one);
}

const endOf = ({ offsetBytes, lengthBytes }: Extent) => offsetBytes + lengthBytes;

/** Tells whether `data` is what was written for the entry. */
export function isLuksmetaData(entry: LuksmetaEntry, data: Buffer): boolean {
  return data.length === entry.lengthBytes && crc32c(data) === entry.crc32c;
}

/**
 * Computes the checksum of RFC 3720 section 12.1 (Castagnoli, reflected), bit by bit: luksmeta's
 * data is a few kilobytes.
 */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function formatUuid(bytes: Buffer): string {
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function damaged(why: string): NightlatchError {
  return new NightlatchError("luks/damaged", `the volume's luksmeta area is damaged: ${why}`);
}
