// @ts-nocheck
import { createHash, createHmac } from "node:crypto";

/** A hash that a TPM names keys with, and keeps a bank of registers in. */
export interface TpmHash {
  /** As tpm2-tools and clevis write it, and node:crypto too. */
  readonly name: "sha1" | "sha256" | "sha384" | "sha512";
  /** TPM_ALG_ID, TCG algorithm registry. */
  readonly id: number;
  readonly lengthBytes: number;
}

/** The hash of all that is sealed here. */
export const SHA256: TpmHash = { name: "sha256", id: 0x000b, lengthBytes: 32 };

const HASHES: readonly TpmHash[] = [
  { name: "sha1", id: 0x0004, lengthBytes: 20 },
  SHA256,
  { name: "sha384", id: 0x000c, lengthBytes: 48 },
  { name: "sha512", id: 0x000d, lengthBytes: 64 },
];

/** Finds a hash by the name that tpm2-tools give it; null where it is another. */
export function hashNamed(name: string): TpmHash | null {
  return HASHES.find((hash) => hash.name === name) ?? null;
}

/** Finds a hash by its number; null where it is another. */
export function hashOfId(id: number): TpmHash | null {
  return HASHES.find((hash) => hash.id === id) ?? null;
}

/** Hashes the parts one behind the other. */
export function tpmDigest(hash: TpmHash, ...parts: readonly Uint8Array[]): Buffer {
  const sum = createHash(hash.name);
  for (const part of parts) sum.update(part);
  return sum.digest();
}

/** The HMAC of the parts one behind the other. */
export function tpmHmac(hash: TpmHash, key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const sum = createHmac(hash.name, key);
  for (const part of parts) sum.update(part);
  return sum.digest();
}
