/** Says what is wrong with bytes that cannot be read; it throws. */
// @ts-nocheck

export type Refuse = (message: string) => never;

/**
 * Reads the big-endian structures of the TPM 2.0 specification (part 2) from bytes of a known
 * length. Nothing beyond their end is read; what is wrong is handed to `refuse`.
 */
export class TpmReader {
  readonly #bytes: Buffer;
  readonly #refuse: Refuse;
  #at = 0;

  constructor(bytes: Buffer, refuse: Refuse) {
    this.#bytes = bytes;
    this.#refuse = refuse;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  /** Gives so many bytes, not a copy. */
  take(lengthBytes: number): Buffer {
    const end = this.#at + lengthBytes;
    if (end > this.#bytes.length) this.#refuse("it is cut short");
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  /** Gives what a TPM2B holds: a length of two bytes and so many bytes. */
  sized(limitBytes: number): Buffer {
    const lengthBytes = this.u16();
    if (lengthBytes > limitBytes) this.#refuse(`a part of it is longer than ${limitBytes} bytes`);
    return this.take(lengthBytes);
  }

  /** Gives all that is left. */
  rest(): Buffer {
    return this.take(this.#bytes.length - this.#at);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.#refuse("something stands behind its end");
  }
}

/** Writes one byte. */
export const u8 = (value: number): Buffer => Buffer.of(value);

/** Writes a number in two bytes, the highest first. */
export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** Writes a number in four bytes, the highest first. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Writes a TPM2B: a length of two bytes, and the bytes. */
export const sized = (bytes: Uint8Array): Buffer => Buffer.concat([u16(bytes.byteLength), bytes]);
