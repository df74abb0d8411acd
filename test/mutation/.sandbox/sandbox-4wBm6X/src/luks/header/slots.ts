// @ts-nocheck
import type { Luks1Keyslot } from "../../formats/luks/luks1.ts";
import { LUKS1_KEYSLOTS } from "../../formats/luks/luks1.ts";
import { LUKS2_KEYSLOTS, type Luks2Keyslot } from "../../formats/luks/luks2-metadata.ts";
import { CLEVIS_ITERATIONS, FIRST_ITERATIONS, ITERATION_COUNTS } from "../../formats/own/intent.ts";
import type { VolumeHeader } from "./header.ts";

/** A keyslot in use that holds a key, of either version. */
export interface Slot {
  readonly number: number;
  /** 2 is tried first, 1 is normal, 0 only when it is named. */
  readonly priority: 0 | 1 | 2;
  /** Whether its key is the volume's; LUKS2 can keep others. */
  readonly opensVolume: boolean;
  /** null for another KDF than PBKDF2. */
  readonly pbkdf2Iterations: number | null;
  /** base64 */
  readonly salt: string;
  readonly area: { readonly offsetBytes: number; readonly lengthBytes: number };
}

/** Lists the keyslots in use that hold a key, in the order in which cryptsetup tries them. */
export function listSlots(header: VolumeHeader): readonly Slot[] {
  const slots =
    header.version === 1
      ? header.keyslots.flatMap((slot, number) => (slot.active ? [fromLuks1(slot, number)] : []))
      : [...header.keyslots].flatMap(([number, slot]) => fromLuks2(slot, number, header.digests.values()));
  return slots.sort((a, b) => b.priority - a.priority || a.number - b.number);
}

/** Finds a keyslot by its number; undefined where it holds no key. */
export function findSlot(header: VolumeHeader, number: number): Slot | undefined {
  return listSlots(header).find((slot) => slot.number === number);
}

/**
 * Tells whether a keyslot looks like a binding's: clevis's, systemd's or ours. A passphrase that a
 * person types gets a slower KDF.
 */
export function looksLikeBinding({ pbkdf2Iterations: count }: Slot): boolean {
  return count !== null && count >= CLEVIS_ITERATIONS && count < FIRST_ITERATIONS + ITERATION_COUNTS;
}

/** Counts the keyslots: those in use, and those that the volume can have. */
export function countSlots(header: VolumeHeader): { readonly used: number; readonly total: number } {
  if (header.version === 1) {
    return { used: header.keyslots.filter((slot) => slot.active).length, total: LUKS1_KEYSLOTS };
  }
  return { used: header.keyslots.size, total: LUKS2_KEYSLOTS };
}

/**
 * The hash that a new keyslot of this volume is to use: that of the volume's own digest, which its
 * owner chose, where cryptsetup would take SHA-256. Null where nothing is to be said: LUKS1 has one
 * hash for all keyslots, and uses it by itself.
 */
export function keyslotHashOf(header: VolumeHeader): string | null {
  if (header.version === 1) return null;
  const hash = [...header.digests.values()].find(({ segments }) => segments.length > 0)?.hash ?? null;
  return hash !== null && /^[A-Za-z0-9][\w-]{0,30}$/.test(hash) ? hash : null;
}

/**
 * Finds the lowest keyslot that nothing occupies, a reencryption included; null where all are
 * taken.
 * @param from the lowest number that is looked at
 */
export function findFreeSlot(header: VolumeHeader, from = 0): number | null {
  if (header.version === 1) {
    const taken = new Set(header.meta?.map((record) => record.keyslot));
    const free = header.keyslots.findIndex((slot, number) => number >= from && !slot.active && !taken.has(number));
    return free < 0 ? null : free;
  }
  for (let number = from; number < LUKS2_KEYSLOTS; number++) if (!header.keyslots.has(number)) return number;
  return null;
}

function fromLuks1(slot: Luks1Keyslot, number: number): Slot {
  return {
    number,
    priority: 1,
    opensVolume: true,
    pbkdf2Iterations: slot.iterations,
    salt: slot.salt.toString("base64"),
    area: { offsetBytes: slot.areaOffsetBytes, lengthBytes: slot.areaLengthBytes },
  };
}

function fromLuks2(
  slot: Luks2Keyslot,
  number: number,
  digests: Iterable<{ readonly keyslots: readonly number[]; readonly segments: readonly number[] }>,
): Slot[] {
  const { kdf, priority, area } = slot;
  if (kdf === null) return [];
  const opensVolume = [...digests].some((digest) => digest.keyslots.includes(number) && digest.segments.length > 0);
  const pbkdf2Iterations = kdf.type === "pbkdf2" ? kdf.cost : null;
  return [{ number, priority, opensVolume, pbkdf2Iterations, salt: kdf.saltBase64, area }];
}
