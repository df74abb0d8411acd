/**
 * What the key agent calls of node:crypto on its way to a key, by the same OpenSSL without
 * node:crypto: loading that takes a seventh of a cold start
 * (docs/decisions/054-agent-without-node-crypto.md). script/bundle.ts puts this module in its place
 * in the agent's program, and only there. Whatever is not served here is node:crypto's own, loaded
 * then.
 */
// @ts-nocheck

import type * as whole from "node:crypto";
import { libcFunction } from "./native.ts";
import { NID_P256, NID_P384, NID_P521, type Openssl, openOpenssl, opensslFailure } from "./openssl.ts";
import { type OpensslCurve, OpensslEcdh } from "./openssl-ecdh.ts";
import { GCM_IV_BYTES, GCM_KEY_BYTES, GcmDecipher } from "./openssl-gcm.ts";

type Whole = typeof whole;
const nodeCrypto = (): Whole => process.getBuiltinModule("node:crypto");

export const createPrivateKey: Whole["createPrivateKey"] = (...args) => nodeCrypto().createPrivateKey(...args);
export const createPublicKey: Whole["createPublicKey"] = (...args) => nodeCrypto().createPublicKey(...args);
export const createHmac: Whole["createHmac"] = (...args) => nodeCrypto().createHmac(...args);
export const createCipheriv = (...args: Parameters<Whole["createCipheriv"]>) => nodeCrypto().createCipheriv(...args);
export const publicEncrypt = (...args: Parameters<Whole["publicEncrypt"]>) => nodeCrypto().publicEncrypt(...args);
export const scrypt = (...args: Parameters<Whole["scrypt"]>) => nodeCrypto().scrypt(...args);
/** Of all constants those that are read. */
export const constants = { RSA_PKCS1_OAEP_PADDING: 4 };
export const hash = (...args: Parameters<Whole["hash"]>) => nodeCrypto().hash(...args);
export const sign = (...args: Parameters<Whole["sign"]>) => nodeCrypto().sign(...args);
export const verify = (...args: Parameters<Whole["verify"]>) => nodeCrypto().verify(...args);

const SHA256_BYTES = 32;

export function createHash(algorithm: string): whole.Hash | Sha256 {
  const openssl = algorithm === "sha256" ? openOpenssl() : null;
  return openssl === null ? nodeCrypto().createHash(algorithm) : new Sha256(openssl);
}

class Sha256 {
  readonly #openssl: Openssl;
  readonly #parts: Buffer[] = [];
  #ended = false;

  constructor(openssl: Openssl) {
    this.#openssl = openssl;
  }

  update(data: string | Uint8Array, encoding: BufferEncoding = "utf8"): this {
    this.#requireOpen();
    this.#parts.push(typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data));
    return this;
  }

  digest(): Buffer;
  digest(encoding: BufferEncoding): string;
  digest(encoding?: BufferEncoding): Buffer | string {
    this.#requireOpen();
    this.#ended = true;
    const bytes = Buffer.concat(this.#parts);
    const sum = Buffer.alloc(SHA256_BYTES);
    const done = this.#openssl.SHA256(bytes, bytes.length, sum);
    for (const part of [bytes, ...this.#parts]) part.fill(0);
    if (done === null) throw opensslFailure(this.#openssl, "hash");
    return encoding === undefined ? sum : sum.toString(encoding);
  }

  /** What was given is wiped by then: a second digest would be one of zeros. */
  #requireOpen(): void {
    if (this.#ended) throw new Error("the digest was given already");
  }
}

export function timingSafeEqual(one: Uint8Array, other: Uint8Array): boolean {
  const openssl = openOpenssl();
  if (openssl === null) return nodeCrypto().timingSafeEqual(one, other);
  if (one.byteLength !== other.byteLength) throw new RangeError("inputs of one length are compared");
  return openssl.CRYPTO_memcmp(one, other, one.byteLength) === 0;
}

/**
 * getrandom(2) gives as much in one piece, and all of it, from the pool that OpenSSL is seeded
 * from.
 */
const RANDOM_BYTES = 256;

export function randomBytes(lengthBytes: number): Buffer {
  if (lengthBytes > RANDOM_BYTES) return nodeCrypto().randomBytes(lengthBytes);
  const bytes = Buffer.alloc(lengthBytes);
  const given = libcFunction("long getrandom(void *buf, size_t buflen, unsigned int flags)")(bytes, lengthBytes, 0);
  return given === lengthBytes ? bytes : nodeCrypto().randomBytes(lengthBytes);
}

export function createDecipheriv(
  cipher: string,
  key: Uint8Array,
  iv: Uint8Array,
  options?: whole.CipherGCMOptions,
): whole.DecipherGCM | GcmDecipher {
  const openssl = openOpenssl();
  const isOurs = cipher === "aes-256-gcm" && key.byteLength === GCM_KEY_BYTES && iv.byteLength === GCM_IV_BYTES;
  if (openssl !== null && isOurs) return new GcmDecipher(openssl, key, iv);
  return nodeCrypto().createDecipheriv(cipher as whole.CipherGCMTypes, key, iv, options);
}

const CURVES: Readonly<Record<string, OpensslCurve>> = {
  prime256v1: { nid: NID_P256, lengthBytes: 32 },
  secp384r1: { nid: NID_P384, lengthBytes: 48 },
  secp521r1: { nid: NID_P521, lengthBytes: 66 },
};

export function createECDH(name: string): whole.ECDH | OpensslEcdh {
  const openssl = openOpenssl();
  const curve = Object.hasOwn(CURVES, name) ? CURVES[name] : undefined;
  return openssl === null || curve === undefined ? nodeCrypto().createECDH(name) : new OpensslEcdh(openssl, curve);
}
