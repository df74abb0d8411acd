/** Chance that a seed decides, also the chance that Node's own key generation takes. */
// @ts-nocheck

import crypto, { createCipheriv, createHash } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

const POOL_BYTES = 4096;
/** What is as large as this only takes up room. */
const POINTLESS_BYTES = 2 << 20;

/** A stream of chance. Those of different names are independent of each other. */
export class Chance {
  readonly #seed: string;
  readonly #stream: crypto.Cipheriv;
  #pool: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(seed: string) {
    this.#seed = seed;
    const key = createHash("sha256").update(seed).digest();
    this.#stream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  }

  /** Another stream, which this one's use does not move. */
  named(name: string): Chance {
    return new Chance(`${this.#seed}/${name}`);
  }

  bytes(lengthBytes: number): Buffer {
    if (lengthBytes >= POINTLESS_BYTES) return Buffer.alloc(lengthBytes, this.bytes(32));
    if (lengthBytes > POOL_BYTES / 4) return this.#stream.update(Buffer.alloc(lengthBytes));
    if (this.#at + lengthBytes > this.#pool.length) {
      this.#pool = this.#stream.update(Buffer.alloc(POOL_BYTES));
      this.#at = 0;
    }
    this.#at += lengthBytes;
    return Buffer.from(this.#pool.subarray(this.#at - lengthBytes, this.#at));
  }

  /** From 0 to 1, without 1. */
  share(): number {
    return this.bytes(4).readUInt32LE() / 2 ** 32;
  }

  /** Whether something happens that happens so often of 1. */
  happens(often: number): boolean {
    return this.share() < often;
  }

  /** A whole number from 0 on, below `limit`. */
  below(limit: number): number {
    return Math.floor(this.share() * limit);
  }

  /** A number between two. */
  between(least: number, most: number): number {
    return least + this.share() * (most - least);
  }

  /** A wait until something that happens every `meanMs` on the average, in whole milliseconds. */
  waitMs(meanMs: number): number {
    return Math.max(1, Math.round(-Math.log(1 - this.share()) * meanMs));
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }
}

/** What lies before the 32 bytes of a private key in its PKCS #8 (RFC 8410 section 7). */
const PKCS8: Readonly<Record<string, Buffer>> = {
  ed25519: Buffer.from("302e020100300506032b657004220420", "hex"),
  x25519: Buffer.from("302e020100300506032b656e04220420", "hex"),
};

/**
 * Has node:crypto draw from a stream until what it gives is disposed of: bytes, and the keys that
 * the server makes. Signatures by ECDSA stay what OpenSSL draws, which nothing decides by.
 * @param changes what else is to be another
 */
export function seedCrypto(chance: Chance, changes: Partial<typeof crypto> = {}): Disposable {
  const { randomBytes, generateKeyPairSync, createECDH, timingSafeEqual } = crypto;
  const drawnEcdh = (curve: string): crypto.ECDH => {
    const ecdh = createECDH(curve);
    ecdh.generateKeys = ((...format: []) => {
      const scalar = chance.bytes(32);
      scalar[0] = ((scalar[0] ?? 0) & 0x7f) | 1; // below the order of the curve, and not zero
      ecdh.setPrivateKey(scalar);
      return ecdh.getPublicKey(...format);
    }) as typeof ecdh.generateKeys;
    return ecdh;
  };
  const drawnPair = (kind: string): { privateKey: crypto.KeyObject; publicKey: crypto.KeyObject } => {
    const head = PKCS8[kind];
    const privateKey =
      head !== undefined
        ? crypto.createPrivateKey({ key: Buffer.concat([head, chance.bytes(32)]), format: "der", type: "pkcs8" })
        : crypto.createPrivateKey({ key: drawnJwk(drawnEcdh("prime256v1")), format: "jwk" });
    return { privateKey, publicKey: crypto.createPublicKey(privateKey) };
  };
  Object.assign(crypto, {
    randomBytes: (lengthBytes: number) => chance.bytes(lengthBytes),
    generateKeyPairSync: drawnPair,
    createECDH: drawnEcdh,
    ...changes,
  });
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      Object.assign(crypto, { randomBytes, generateKeyPairSync, createECDH, timingSafeEqual });
      syncBuiltinESMExports();
    },
  };
}

function drawnJwk(ecdh: crypto.ECDH): crypto.webcrypto.JsonWebKey {
  const point = ecdh.generateKeys();
  const d = Buffer.alloc(32);
  const scalar = ecdh.getPrivateKey();
  scalar.copy(d, 32 - scalar.length);
  const coordinate = (from: number) => point.toString("base64url", from, from + 32);
  return { kty: "EC", crv: "P-256", x: coordinate(1), y: coordinate(33), d: d.toString("base64url") };
}
