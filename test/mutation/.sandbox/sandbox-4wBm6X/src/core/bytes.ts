/** Writes unpadded base64url (RFC 4648 section 5). */
// @ts-nocheck

export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

/**
 * Reads unpadded base64url; null where the text is anything else. It is strict: no padding, no
 * other alphabet, no stray bits in the last character. Buffer.from would pass over all of these.
 */
export function decodeBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : null;
}
