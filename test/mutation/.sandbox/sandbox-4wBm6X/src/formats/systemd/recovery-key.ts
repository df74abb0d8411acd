// @ts-nocheck
import { Secret } from "../../core/secret.ts";

/** The type of a recovery key's token: docs/format/recovery.md. */
export const RECOVERY_TYPE = "systemd-recovery";

/** How many random bytes a recovery key is made of. */
export const RECOVERY_RAW_BYTES = 32;

/** Each stands for four bits, the first for 0. */
const LETTERS = Buffer.from("cbdefghijklnrtuv");
const DASH = 0x2d;
const GROUP = 8;
const LETTER_COUNT = RECOVERY_RAW_BYTES * 2;
const GROUP_COUNT = LETTER_COUNT / GROUP;
const LENGTH_BYTES = LETTER_COUNT + GROUP_COUNT - 1;

/**
 * Writes a recovery key as systemd does: 71 characters, which are the keyslot's passphrase. It is
 * written into its buffer directly: a string could not be wiped.
 * @param raw 32 random bytes, which stay the caller's
 */
export function formatRecoveryKey(raw: Uint8Array): Secret {
  if (raw.byteLength !== RECOVERY_RAW_BYTES) throw new TypeError("a recovery key has 32 bytes");
  return joinLetters((index) => ((raw[index >> 1] ?? 0) >> (index % 2 === 0 ? 4 : 0)) & 15);
}

/**
 * Reads a recovery key as a person typed it: with all of its dashes or none, in small letters or
 * capitals. Gives it as it opens its keyslot, a copy; null where it is no recovery key.
 */
export function readRecoveryKey(typed: Uint8Array): Secret | null {
  const hasDashes = typed.byteLength === LENGTH_BYTES;
  if (!hasDashes && typed.byteLength !== LETTER_COUNT) return null;
  const placeOf = (index: number) => (hasDashes ? index + Math.floor(index / GROUP) : index);
  const valueAt = (index: number) => LETTERS.indexOf((typed[placeOf(index)] ?? 0) | 0x20);
  for (let index = 0; index < LETTER_COUNT; index++) if (valueAt(index) < 0) return null;
  for (let at = GROUP; hasDashes && at < LENGTH_BYTES; at += GROUP + 1) if (typed[at] !== DASH) return null;
  return joinLetters(valueAt);
}

/**
 * Lists the groups, from 1 on, in which two recovery keys differ: what a person reads again. Empty
 * where they are the same.
 */
export function differingGroups(one: Secret, other: Secret): readonly number[] {
  const groups: number[] = [];
  for (let group = 0; group < GROUP_COUNT; group++) {
    const [from, to] = [group * (GROUP + 1), group * (GROUP + 1) + GROUP];
    if (!one.reveal().subarray(from, to).equals(other.reveal().subarray(from, to))) groups.push(group + 1);
  }
  return groups;
}

function joinLetters(valueAt: (index: number) => number): Secret {
  const text = Buffer.alloc(LENGTH_BYTES, DASH);
  for (let index = 0; index < LETTER_COUNT; index++) {
    text[index + Math.floor(index / GROUP)] = LETTERS[valueAt(index)] ?? 0;
  }
  return Secret.take(text);
}
