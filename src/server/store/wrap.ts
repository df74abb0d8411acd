import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";

export const MASTER_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a wrapped key is and whose: a row that was moved to another place does not open there. */
export interface WrapContext {
  readonly purpose: "exchange" | "signing" | "invite" | "identity" | "check";
  /** Of the latch, the invite or the store. */
  readonly id: string;
  readonly epoch: number;
}

/** The master key: wraps the keys that lie in the store. AES-256-GCM, `nonce ‖ ciphertext ‖ tag`; see docs/format/store.md. */
export class MasterKey implements Disposable {
  readonly #key: Secret;

  /** Takes ownership of `key`, MASTER_KEY_BYTES long. */
  constructor(key: Secret) {
    if (key.lengthBytes !== MASTER_KEY_BYTES) throw new RangeError("the master key has the wrong length");
    this.#key = key;
  }

  wrap(plain: Uint8Array, context: WrapContext): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key.reveal(), nonce);
    cipher.setAAD(associatedData(context));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The caller wipes it. @throws NightlatchError store/damaged where the bytes, the context or the master key are others */
  unwrap(wrapped: Uint8Array, context: WrapContext): Secret {
    const end = wrapped.byteLength - TAG_BYTES;
    if (end < NONCE_BYTES) throw damaged(context);
    const decipher = createDecipheriv("aes-256-gcm", this.#key.reveal(), wrapped.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(associatedData(context));
    decipher.setAuthTag(wrapped.subarray(end));
    const plain = decipher.update(wrapped.subarray(NONCE_BYTES, end)); // GCM is a stream: final() adds nothing
    try {
      decipher.final();
    } catch {
      plain.fill(0);
      throw damaged(context);
    }
    return Secret.take(plain);
  }

  [Symbol.dispose](): void {
    this.#key.wipe();
  }
}

/** Every part ends with a zero byte, which none of them holds. */
function associatedData({ purpose, id, epoch }: WrapContext): Buffer {
  return Buffer.from(`nightlatch-wrap\0${id}\0${epoch}\0${purpose}\0`);
}

function damaged({ purpose, id }: WrapContext): NightlatchError {
  return new NightlatchError("store/damaged", `the ${purpose} key of ${id} does not open under the master key`, {
    meaning: "The store was damaged or tampered with.",
    remedy: "Run nightlatch audit verify, and restore the store and its master key from the same backup.",
  });
}
