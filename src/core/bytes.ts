import { NightlatchError } from "./errors.ts";

/** Unpadded base64url (RFC 4648 section 5). */
export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

/**
 * Strict: no padding, no other alphabet, no stray bits in the last character (Buffer.from would skip all of these).
 * @throws NightlatchError json/malformed
 */
export function fromBase64url(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) {
    throw new NightlatchError("json/malformed", `${what} is not base64url`);
  }
  return bytes;
}
