// @ts-nocheck
import { type Openssl, opensslFailure, type Pointer } from "./openssl.ts";

/** Lengths of AES-256-GCM (NIST SP 800-38D). */
export const GCM_KEY_BYTES = 32;
export const GCM_IV_BYTES = 12;
const TAG_BYTES = 16;
const SET_TAG = 0x11; // EVP_CTRL_AEAD_SET_TAG, evp.h

const contexts = new FinalizationRegistry<() => void>((free) => free());

/**
 * AES-256 in GCM, with the members of node:crypto's DecipherGCM (EVP_EncryptInit(3), "AEAD
 * Interface").
 */
export class GcmDecipher {
  readonly #openssl: Openssl;
  readonly #context: Pointer;
  readonly #written = Buffer.alloc(4);

  constructor(openssl: Openssl, key: Uint8Array, iv: Uint8Array) {
    this.#openssl = openssl;
    const context = openssl.EVP_CIPHER_CTX_new();
    this.#context = context;
    if (context === null) throw opensslFailure(openssl, "decrypt");
    contexts.register(this, () => openssl.EVP_CIPHER_CTX_free(context)); // which clears it
    this.#must(openssl.EVP_DecryptInit_ex(context, openssl.EVP_aes_256_gcm(), null, key, iv));
  }

  setAAD(bytes: Uint8Array): this {
    this.#must(this.#openssl.EVP_DecryptUpdate(this.#context, null, this.#written, bytes, bytes.byteLength));
    return this;
  }

  setAuthTag(tag: Uint8Array): this {
    if (tag.byteLength !== TAG_BYTES) throw new RangeError(`a tag has ${TAG_BYTES} bytes`);
    this.#must(this.#openssl.EVP_CIPHER_CTX_ctrl(this.#context, SET_TAG, TAG_BYTES, tag));
    return this;
  }

  update(bytes: Uint8Array): Buffer {
    const plain = Buffer.alloc(bytes.byteLength);
    this.#must(this.#openssl.EVP_DecryptUpdate(this.#context, plain, this.#written, bytes, bytes.byteLength));
    return plain;
  }

  /** @throws Error where the tag is not that of all that was given */
  final(): Buffer {
    this.#must(this.#openssl.EVP_DecryptFinal_ex(this.#context, Buffer.alloc(TAG_BYTES), this.#written));
    return Buffer.alloc(0);
  }

  #must(status: number): void {
    if (status !== 1) throw opensslFailure(this.#openssl, "decrypt");
  }
}
