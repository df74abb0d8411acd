// @ts-nocheck
import { trimEndOf } from "../../../core/text.ts";
import type { Cryptoki } from "../../../system/native/cryptoki.ts";

/* The structures of PKCS#11, as C lays them out where a long and a pointer have 8 bytes. */

const WORD_BYTES = 8;

/** Writes words one after the other: numbers and pointers. */
export function words(...values: readonly (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * WORD_BYTES);
  values.forEach((value, at) => {
    bytes.writeBigUInt64LE(BigInt(value), at * WORD_BYTES);
  });
  return bytes;
}

/** Reads one word. */
export function wordAt(bytes: Buffer, index: number): bigint {
  return bytes.readBigUInt64LE(index * WORD_BYTES);
}

/** CK_ATTRIBUTE and CK_MECHANISM alike: a type, a pointer and a length. */
const RECORD_WORDS = 3;
/** CK_UNAVAILABLE_INFORMATION: an attribute that the object does not have, or does not give. */
const UNAVAILABLE = 2n ** 64n - 1n;

/** CK_MECHANISM with its parameters. */
export function mechanism(cryptoki: Cryptoki, type: number, parameters: Buffer | null): Buffer {
  return words(type, parameters === null ? 0 : cryptoki.pointerTo(parameters), parameters?.length ?? 0);
}

/** A list of CK_ATTRIBUTE, with what they are to be or where they are to be put. */
export function attributes(cryptoki: Cryptoki, list: readonly (readonly [type: number, value: Buffer])[]): Buffer {
  return words(...list.flatMap(([type, value]) => [type, cryptoki.pointerTo(value), value.length]));
}

/** How long the attribute at an index of such a list is now; null where there is none. */
export function lengthOf(list: Buffer, index: number): number | null {
  const length = wordAt(list, index * RECORD_WORDS + 2);
  return length === UNAVAILABLE ? null : Number(length);
}

/** A CK_ULONG, as an attribute's value. */
export const ulong = (value: number): Buffer => words(value);
/** A CK_BBOOL. */
export const flag = (value: boolean): Buffer => Buffer.from([value ? 1 : 0]);

const TOKEN_INFO_BYTES = 256; // 208 are used
const LABEL_BYTES = 32;
const MANUFACTURER_BYTES = 32;
const MODEL_BYTES = 16;
const SERIAL_BYTES = 16;
const FLAGS_OFFSET = 96;

/** CK_TOKEN_INFO, as far as it is used. */
export interface TokenInfo {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly flags: number;
}

/** Where C_GetTokenInfo writes to. */
export const tokenInfoBuffer = (): Buffer => Buffer.alloc(TOKEN_INFO_BYTES);

/** Reads a CK_TOKEN_INFO. Its texts are padded with blanks. */
export function readTokenInfo(bytes: Buffer): TokenInfo {
  let at = 0;
  const next = (lengthBytes: number) => {
    const text = bytes.subarray(at, at + lengthBytes).toString("utf8");
    at += lengthBytes;
    return trimEndOf(text, " \0");
  };
  return {
    label: next(LABEL_BYTES),
    manufacturer: next(MANUFACTURER_BYTES),
    model: next(MODEL_BYTES),
    serial: next(SERIAL_BYTES),
    flags: Number(bytes.readBigUInt64LE(FLAGS_OFFSET)),
  };
}
