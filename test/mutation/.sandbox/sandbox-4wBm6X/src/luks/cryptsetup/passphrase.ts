// @ts-nocheck
import { Secret } from "../../core/secret.ts";
import { formatRecoveryKey, RECOVERY_RAW_BYTES } from "../../formats/systemd/recovery-key.ts";
import type { System } from "../../system/port.ts";

const ALPHABET = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const RANDOM_BYTES = 40;

/**
 * Makes a keyslot's passphrase as clevis does: base64url of 40 random bytes, 54 characters
 * (docs/format/latch.md, "Token"). It is written into its buffer directly: a string could not be
 * wiped.
 */
export function makePassphrase(system: Pick<System, "random">): Secret {
  const random = system.random(RANDOM_BYTES);
  const text = Buffer.alloc(Math.ceil((RANDOM_BYTES * 8) / 6));
  for (let at = 0; at < text.length; at++) {
    const bit = at * 6;
    const pair = ((random[bit >> 3] ?? 0) << 8) | (random[(bit >> 3) + 1] ?? 0);
    text[at] = ALPHABET[(pair >> (10 - (bit & 7))) & 63] ?? 0;
  }
  random.fill(0);
  return Secret.take(text);
}

/** Makes a recovery key: docs/format/recovery.md. */
export function makeRecoveryKey(system: Pick<System, "random">): Secret {
  const random = system.random(RECOVERY_RAW_BYTES);
  try {
    return formatRecoveryKey(random);
  } finally {
    random.fill(0);
  }
}
