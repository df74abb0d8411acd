import { hash } from "node:crypto";

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const KEY_BYTES = 32;
/** What the key is mixed with, RFC 2104 section 2. */
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/**
 * HMAC-SHA-256 of short messages of one kind, under ever other keys of 32 bytes. It is two digests
 * over bytes that lie ready: setting up an HMAC takes longer than such a message does, and so does
 * giving a digest a buffer of its own (docs/decisions/136-heartbeats-without-an-hmac-object.md).
 */
export class ShortMac {
  readonly #inner: Buffer;
  readonly #outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, OUTER_PAD);
  readonly #messageAt: number;
  readonly #mac = Buffer.alloc(DIGEST_BYTES);

  /**
   * @param label stands before each message
   * @param lengthBytes of a message
   */
  constructor(label: string, lengthBytes: number) {
    this.#messageAt = BLOCK_BYTES + label.length;
    this.#inner = Buffer.alloc(this.#messageAt + lengthBytes, INNER_PAD);
    this.#inner.write(label, BLOCK_BYTES, "latin1");
  }

  /** Writes the first bytes of something into the message, before `of` is called. */
  put(bytes: Uint8Array, lengthBytes: number, at: number): this {
    const inner = this.#inner;
    const first = this.#messageAt + at;
    for (let index = 0; index < lengthBytes; index++) inner[first + index] = bytes[index] ?? 0;
    return this;
  }

  /**
   * The MAC of the message, 32 bytes, which are good until the next call. Nothing of the key stays
   * here.
   * @param key 32 bytes
   */
  of(key: Uint8Array): Buffer {
    if (key.length !== KEY_BYTES) throw new RangeError(`a key of ${key.length} bytes`);
    const [inner, outer] = [this.#inner, this.#outer];
    for (let index = 0; index < KEY_BYTES; index++) {
      const byte = key[index] ?? 0;
      inner[index] = byte ^ INNER_PAD;
      outer[index] = byte ^ OUTER_PAD;
    }
    putDigest(hash("sha256", inner, "latin1"), outer, BLOCK_BYTES);
    putDigest(hash("sha256", outer, "latin1"), this.#mac, 0);
    for (let index = 0; index < KEY_BYTES; index++) {
      inner[index] = INNER_PAD;
      outer[index] = OUTER_PAD;
    }
    return this.#mac;
  }
}

/** By hand: a call into the runtime costs more than so few bytes do. */
function putDigest(digest: string, into: Buffer, at: number): void {
  for (let index = 0; index < DIGEST_BYTES; index++) into[at + index] = digest.charCodeAt(index);
}
