// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * The LUKS1 header on disk (LUKS On-Disk Format Specification 1.2.3, figures 2 and 3): 592 bytes,
 * big-endian, no checksum and no second copy.
 */
export interface Luks1Header {
  readonly version: 1;
  readonly uuid: string;
  readonly cipherName: string;
  readonly cipherMode: string;
  readonly hash: string;
  readonly keyBytes: number;
  /** Of the volume key, by which a keyslot's is known to be right. */
  readonly keyDigest: { readonly iterations: number; readonly salt: Buffer; readonly digest: Buffer };
  /** Where the encrypted data begins; 0 for a header that lies apart from its data. */
  readonly payloadOffsetBytes: number;
  /** All eight, by number. */
  readonly keyslots: readonly Luks1Keyslot[];
}

/** A keyslot of LUKS1. */
export interface Luks1Keyslot {
  readonly active: boolean;
  readonly iterations: number;
  readonly salt: Buffer;
  readonly areaOffsetBytes: number;
  /** Whole sectors, as cryptsetup lays them out. */
  readonly areaLengthBytes: number;
}

/** LUKS1 has eight keyslots. */
export const LUKS1_KEYSLOTS = 8;
const LUKS1_HEADER_BYTES = 592;

const MAGIC = Buffer.from("LUKS\xba\xbe\x00\x01", "latin1");
const SECTOR_BYTES = 512;
const KEYSLOTS_OFFSET = 208;
const KEYSLOT_BYTES = 48;
const ACTIVE = 0x00ac71f3;
const INACTIVE = 0x0000dead;

/**
 * Reads a LUKS1 header; null where none begins.
 * @param start the first bytes of the device
 * @throws NightlatchError luks/damaged
 */
export function parseLuks1(start: Buffer): Luks1Header | null {
  if (!start.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  if (start.length < LUKS1_HEADER_BYTES) throw damaged("it is cut short");
  const keyBytes = start.readUInt32BE(108);
  if (keyBytes === 0 || keyBytes > 512) throw damaged(`it names a volume key of ${keyBytes} bytes`);
  return {
    version: 1,
    uuid: readText(start, 168, 40),
    cipherName: readText(start, 8, 32),
    cipherMode: readText(start, 40, 32),
    hash: readText(start, 72, 32),
    keyBytes,
    keyDigest: {
      digest: Buffer.from(start.subarray(112, 132)),
      salt: Buffer.from(start.subarray(132, 164)),
      iterations: start.readUInt32BE(164),
    },
    payloadOffsetBytes: start.readUInt32BE(104) * SECTOR_BYTES,
    keyslots: Array.from({ length: LUKS1_KEYSLOTS }, (_, number) => readKeyslot(start, number, keyBytes)),
  };
}

function readKeyslot(start: Buffer, number: number, keyBytes: number): Luks1Keyslot {
  const at = KEYSLOTS_OFFSET + number * KEYSLOT_BYTES;
  const state = start.readUInt32BE(at);
  if (state !== ACTIVE && state !== INACTIVE) throw damaged(`keyslot ${number} is neither in use nor free`);
  const stripes = start.readUInt32BE(at + 44);
  return {
    active: state === ACTIVE,
    iterations: start.readUInt32BE(at + 4),
    salt: Buffer.from(start.subarray(at + 8, at + 40)),
    areaOffsetBytes: start.readUInt32BE(at + 40) * SECTOR_BYTES,
    areaLengthBytes: Math.ceil((keyBytes * stripes) / SECTOR_BYTES) * SECTOR_BYTES,
  };
}

function readText(start: Buffer, offsetBytes: number, lengthBytes: number): string {
  const field = start.subarray(offsetBytes, offsetBytes + lengthBytes);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? lengthBytes : end).toString("utf8");
}

function damaged(why: string): NightlatchError {
  return new NightlatchError("luks/damaged", `the LUKS1 header is damaged: ${why}`);
}
