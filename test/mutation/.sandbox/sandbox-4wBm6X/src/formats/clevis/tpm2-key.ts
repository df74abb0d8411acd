// @ts-nocheck
import { Secret } from "../../core/secret.ts";
import { malformedBinding } from "./clevis.ts";

/*
 * What clevis seals in the chip is the content key as a JWK, in text. It is read and written
 * without JSON.parse, whose strings nobody can wipe.
 */

const KEY_BYTES = 32;
/** base64url of 32 bytes. */
const TEXT_LENGTH = 43;

/** Writes the JWK that `jose jwk gen` makes for A256GCM, with the line end of clevis. */
export function formatSealedJwk(key: Uint8Array): Secret {
  const head = Buffer.from('{"alg":"A256GCM","k":"', "latin1");
  const tail = Buffer.from('","key_ops":["encrypt","decrypt"],"kty":"oct"}\n', "latin1");
  const text = encode(key);
  const whole = Secret.take(Buffer.concat([head, text, tail]));
  text.fill(0);
  return whole;
}

/**
 * Reads the key of a JWK that was sealed. The caller wipes it.
 * @throws NightlatchError clevis/malformed
 */
export function parseSealedJwk(text: Buffer): Secret {
  const at = text.indexOf('"k"', 0, "latin1");
  let start = at < 0 ? -1 : at + 3;
  for (const mark of [":", '"']) {
    if (start < 0) break;
    while (text[start] === 0x20) start++;
    start = text[start] === mark.charCodeAt(0) ? start + 1 : -1;
  }
  const isText = text[0] === 0x7b && start > 0 && text[start + TEXT_LENGTH] === 0x22;
  const key = isText ? decode(text.subarray(start, start + TEXT_LENGTH)) : null;
  return key ?? malformedBinding("what the TPM unseals is no key of A256GCM");
}

const ALPHABET = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "latin1");

function encode(key: Uint8Array): Buffer {
  const text = Buffer.alloc(TEXT_LENGTH);
  for (let at = 0; at < TEXT_LENGTH; at++) {
    const bit = at * 6;
    const pair = ((key[bit >> 3] ?? 0) << 8) | (key[(bit >> 3) + 1] ?? 0);
    text[at] = ALPHABET[(pair >> (10 - (bit & 7))) & 63] ?? 0;
  }
  return text;
}

/** null where it is no base64url, or has stray bits at its end. */
function decode(text: Buffer): Secret | null {
  const key = Buffer.alloc(KEY_BYTES);
  let [pending, bits, at] = [0, 0, 0];
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) return null;
    pending = ((pending << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    key[at++] = (pending >> bits) & 0xff;
  }
  return (pending & ((1 << bits) - 1)) === 0 ? Secret.take(key) : null;
}
