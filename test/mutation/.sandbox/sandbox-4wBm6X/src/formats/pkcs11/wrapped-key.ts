// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";

/** The key's own bytes: A256GCM. */
const KEY_BYTES = 32;
const BEFORE = Buffer.from('{"alg":"A256GCM","k":"');
const AFTER = Buffer.from('","key_ops":["encrypt","decrypt"],"kty":"oct"}');
const NAME = Buffer.from('"k"');
const TEXT_BYTES = 43;
const ALPHABET = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const SPACES: readonly (number | undefined)[] = [0x20, 0x09, 0x0a, 0x0d];
const [COLON, QUOTE] = [0x3a, 0x22];

/**
 * Writes the JWK of a content key as `jose jwk gen` does, which is what clevis has a card wrap. It
 * stays in buffers. The key stays the caller's to wipe.
 * @param key 32 bytes
 */
export function formatWrappedKey(key: Uint8Array): Secret {
  if (key.byteLength !== KEY_BYTES) throw new RangeError("a content key has 32 bytes");
  const text = Buffer.alloc(BEFORE.length + TEXT_BYTES + AFTER.length);
  text.set(BEFORE, 0);
  for (let at = 0; at < TEXT_BYTES; at++) {
    const bit = at * 6;
    const pair = ((key[bit >> 3] ?? 0) << 8) | (key[(bit >> 3) + 1] ?? 0);
    text[BEFORE.length + at] = ALPHABET[(pair >> (10 - (bit & 7))) & 63] ?? 0;
  }
  text.set(AFTER, BEFORE.length + TEXT_BYTES);
  return Secret.take(text);
}

/**
 * Finds the content key in the JWK that a card has unwrapped. No part of it becomes a string. Its
 * other members do not matter: whether the key is right, the binding's own decryption tells.
 * @throws NightlatchError pin/wrong-key where it holds no such key
 */
export function parseWrappedKey(jwk: Uint8Array): Secret {
  const text = Buffer.from(jwk.buffer, jwk.byteOffset, jwk.byteLength);
  const name = text.indexOf(NAME);
  let at = name < 0 ? text.length : skipSpaces(text, name + NAME.length);
  if (text[at] !== COLON) throw wrongKey();
  at = skipSpaces(text, at + 1);
  if (text[at] !== QUOTE || text[at + 1 + TEXT_BYTES] !== QUOTE) throw wrongKey();
  const key = Secret.take(Buffer.alloc(KEY_BYTES));
  let bits = 0;
  let held = 0;
  let length = 0;
  for (const byte of text.subarray(at + 1, at + 1 + TEXT_BYTES)) {
    const value = ALPHABET.indexOf(byte);
    if (value < 0) {
      key.wipe();
      throw wrongKey();
    }
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    key.reveal()[length++] = (held >> bits) & 0xff;
  }
  return key;
}

function skipSpaces(text: Buffer, from: number): number {
  let at = from;
  while (SPACES.includes(text[at])) at++;
  return at;
}

function wrongKey(): NightlatchError {
  return new NightlatchError("pin/wrong-key", "what the card unwrapped is not the key of the binding", {
    meaning: "The card has another key than the one that the volume was bound to, or the token was changed.",
    remedy: "Unlock the volume with its passphrase and bind it anew.",
  });
}
