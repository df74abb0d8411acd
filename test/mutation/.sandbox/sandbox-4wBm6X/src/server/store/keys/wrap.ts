// @ts-nocheck
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { Secret } from "../../../core/secret.ts";

/** The length of the master key. */
export const MASTER_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a wrapped key is and whose. A row that was moved to another place does not open there. */
export interface WrapContext {
  readonly purpose: "exchange" | "signing" | "invite" | "identity" | "witness" | "check";
  /** The id of the latch, the invite or the store. */
  readonly id: string;
  readonly epoch: number;
}

/**
 * The master key. It wraps what is the store's own. What belongs to a latch or an invite is wrapped
 * by it and a cell together, so that destroying the cell destroys the key. docs/format/store.md
 */
export class MasterKey implements Disposable {
  readonly #key: Secret;
  readonly #own: Secret;

  /** Takes ownership of `key`, MASTER_KEY_BYTES long. */
  constructor(key: Secret) {
    if (key.lengthBytes !== MASTER_KEY_BYTES) throw new RangeError("the master key has the wrong length");
    this.#key = key;
    this.#own = Secret.take(expand(key.reveal(), OWN_INFO));
  }

  /** Wraps what is the store's own. */
  wrap(plain: Uint8Array, context: WrapContext): Buffer {
    return seal(this.#own.reveal(), plain, context);
  }

  /**
   * Opens what is the store's own. The caller wipes it.
   * @throws NightlatchError store/damaged where the bytes, the context or the master key are others
   */
  unwrap(wrapped: Uint8Array, context: WrapContext): Secret {
    return unseal(this.#own.reveal(), wrapped, context);
  }

  /**
   * Opens what was wrapped before version 3 of the store. The caller wipes it.
   * @throws NightlatchError store/damaged
   */
  unwrapOld(wrapped: Uint8Array, context: WrapContext): Secret {
    return unseal(this.#key.reveal(), wrapped, context);
  }

  /** The key that wraps what belongs to a cell. The caller wipes it. */
  with(cell: Uint8Array): Buffer {
    return expand(this.#key.reveal(), CELL_INFO, cell);
  }

  /** Its bytes, to be written into a file and nowhere else. */
  reveal(): Buffer {
    return this.#key.reveal();
  }

  [Symbol.dispose](): void {
    this.#key.wipe();
    this.#own.wipe();
  }
}

const OWN_INFO = Buffer.from("nightlatch-store\0");
const CELL_INFO = Buffer.from("nightlatch-cell\0");

/**
 * HKDF-Expand (RFC 5869) of one block. The master key is random already, so nothing is to be
 * extracted.
 */
function expand(key: Buffer, ...info: readonly Uint8Array[]): Buffer {
  const hmac = createHmac("sha256", key);
  for (const part of [...info, FIRST_BLOCK]) hmac.update(part);
  return hmac.digest();
}

const FIRST_BLOCK = Buffer.of(1);

/** Encrypts with AES-256-GCM: `nonce ‖ ciphertext ‖ tag`. */
export function seal(key: Buffer, plain: Uint8Array, context: WrapContext): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associatedData(context));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/**
 * Opens what `seal` gave. The caller wipes it.
 * @throws NightlatchError store/damaged where the bytes, the context or the key are others
 */
export function unseal(key: Buffer, wrapped: Uint8Array, context: WrapContext): Secret {
  const end = wrapped.byteLength - TAG_BYTES;
  if (end < NONCE_BYTES) throw damaged(context);
  const decipher = createDecipheriv("aes-256-gcm", key, wrapped.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(context));
  decipher.setAuthTag(wrapped.subarray(end));
  // GCM is a stream: final() adds nothing.
  const plain = decipher.update(wrapped.subarray(NONCE_BYTES, end));
  try {
    decipher.final();
  } catch {
    plain.fill(0);
    throw damaged(context);
  }
  return Secret.take(plain);
}

/** Every part ends with a zero byte, which none of them holds. */
function associatedData({ purpose, id, epoch }: WrapContext): Buffer {
  return Buffer.from(`nightlatch-wrap\0${id}\0${epoch}\0${purpose}\0`);
}

function damaged({ purpose, id }: WrapContext): NightlatchError {
  return new NightlatchError("store/damaged", `the ${purpose} key of ${id} does not open under the master key`, {
    meaning: "The store was damaged or tampered with, or its cells or its master key are another time's.",
    remedy: "Run nightlatch audit verify, and restore the store, its master key and its cells from the same backup.",
  });
}
