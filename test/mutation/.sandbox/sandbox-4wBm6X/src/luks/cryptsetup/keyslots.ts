// @ts-nocheck
import { isError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";
import type { VolumeHeader } from "../header/header.ts";
import { listSlots, looksLikeBinding, type Slot } from "../header/slots.ts";
import { runCryptsetup, type Volume } from "./cryptsetup.ts";

/**
 * What may open a volume: a passphrase, and the keyslot that it was seen to open, or the only one
 * left that it can open.
 */
export interface Authority {
  readonly passphrase: Secret;
  readonly slot: number;
}

/** A keyslot for a random key, whose KDF need not be slow. */
interface NewSlot {
  readonly number: number;
  readonly iterations: number;
  /** As keyslotHashOf gives it. */
  readonly hash: string | null;
  readonly passphrase: Secret;
}

/**
 * Leaves cryptsetup no token to try. `cryptsetup open` tries the volume's tokens before it looks at
 * the key that it is given, and says 0 when a token in a keyring or a TPM opened it: a wrong
 * passphrase would pass for the right one.
 */
const NO_TOKENS = ["--disable-external-tokens", "--token-type", "nightlatch-none"];

/**
 * Tells whether a passphrase opens this very keyslot.
 * @param slot a slot in use
 * @throws NightlatchError as runCryptsetup
 */
export async function opensSlot(
  system: Pick<System, "run">,
  volume: Volume,
  slot: number,
  passphrase: Secret,
): Promise<boolean> {
  const args = ["open", "--test-passphrase", ...NO_TOKENS, "--key-slot", String(slot), ...keyArgs(passphrase)];
  try {
    await runCryptsetup(system, volume, [...args, volume.device], passphrase.reveal());
    return true;
  } catch (error) {
    if (isError(error, "luks/wrong-passphrase")) return false;
    throw error;
  }
}

/**
 * Lists the keyslots that open a volume, in cryptsetup's order: those of random keys, which cost
 * next to nothing to try, and the others.
 */
export function slotsToTry(header: VolumeHeader): { readonly fast: readonly Slot[]; readonly slow: readonly Slot[] } {
  const slots = listSlots(header).filter((slot) => slot.opensVolume);
  return { fast: slots.filter(looksLikeBinding), slow: slots.filter((slot) => !looksLikeBinding(slot)) };
}

/**
 * Finds the first of these keyslots that a passphrase opens; null where it opens none. Each one
 * that it tries takes one KDF.
 * @throws NightlatchError as runCryptsetup
 */
export async function findOpenedAmong(
  system: Pick<System, "run">,
  volume: Volume,
  slots: readonly Slot[],
  passphrase: Secret,
): Promise<number | null> {
  for (const { number } of slots) if (await opensSlot(system, volume, number, passphrase)) return number;
  return null;
}

/**
 * Finds the first keyslot that a passphrase opens; null where it opens none. Fast slots are tried
 * before others, those in `last` at the end.
 * @throws NightlatchError as runCryptsetup
 */
export async function findSlotOpenedBy(
  system: Pick<System, "run">,
  volume: Volume,
  header: VolumeHeader,
  passphrase: Secret,
  last: ReadonlySet<number> = new Set(),
): Promise<number | null> {
  const { fast, slow } = slotsToTry(header);
  const slots = [...fast, ...slow].sort((a, b) => Number(last.has(a.number)) - Number(last.has(b.number)));
  return findOpenedAmong(system, volume, slots, passphrase);
}

/**
 * Adds a keyslot. With cryptsetup 2.6 and 2.7 the authority's own is the only one that costs a KDF,
 * and costs one; before, which does not know --new-key-slot, keyslots are tried in their order, and
 * since 2.8 the authority's own costs two (docs/decisions/056).
 * @throws NightlatchError as runCryptsetup; luks/refused where the slot is taken or there is no
 *   room for it
 */
export async function addKeyslot(
  system: Pick<System, "run">,
  volume: Volume,
  slot: NewSlot,
  current: Authority,
): Promise<void> {
  const both = Buffer.concat([current.passphrase.reveal(), slot.passphrase.reveal()]);
  const hash = slot.hash === null ? [] : ["--hash", slot.hash];
  const kdf = [...hash, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", String(slot.iterations)];
  // Of a key file by the name of "-" 2.6 would try all keyslots first. Of two that have the same
  // name it would read one.
  const [from, to] = ["/dev/stdin", "/dev/fd/0"];
  const sizes = ["--new-keyfile-size", String(slot.passphrase.lengthBytes)];
  const files = [...keyArgs(current.passphrase, from), ...sizes, volume.device, to];
  const add = (slots: readonly string[]) =>
    runCryptsetup(system, volume, ["luksAddKey", "-q", ...slots, ...kdf, ...files], both, { opensStdin: true });
  try {
    await add(["--key-slot", String(current.slot), "--new-key-slot", String(slot.number)]).catch((error: unknown) => {
      if (!isUsageError(error)) throw error;
      return add(["--key-slot", String(slot.number)]);
    });
  } finally {
    both.fill(0);
  }
}

/** It answers an option that it does not know with its usage, before it looks at the device. */
const isUsageError = (error: unknown): boolean =>
  isError(error, "luks/refused") && error.message.includes(": Usage: cryptsetup ");

/**
 * Has cryptsetup try this slot before all others for a key that is given without a slot's number;
 * each other one would cost a KDF. LUKS2 alone has such an order.
 * @throws NightlatchError as runCryptsetup
 */
export async function preferKeyslot(system: Pick<System, "run">, volume: Volume, slot: number): Promise<void> {
  const args = ["config", "-q", "--key-slot", String(slot), "--priority", "prefer", volume.device];
  await runCryptsetup(system, volume, args);
}

/**
 * Destroys a keyslot. With -q cryptsetup destroys the last one as readily as any other: the caller
 * has proved that `remaining` opens another slot, and cryptsetup proves it once more before it
 * wipes.
 * @throws NightlatchError as runCryptsetup
 */
export async function killKeyslot(
  system: Pick<System, "run">,
  volume: Volume,
  slot: number,
  remaining: Secret,
): Promise<void> {
  const args = ["luksKillSlot", "-q", ...keyArgs(remaining), volume.device, String(slot)];
  await runCryptsetup(system, volume, args, remaining.reveal());
}

/**
 * Opens the volume under a name of the device mapper, with this keyslot.
 * @param volume with `header`: the file or device that holds its header
 * @throws NightlatchError as runCryptsetup
 */
export async function openVolume(
  system: Pick<System, "run">,
  volume: Volume & { readonly header?: string },
  name: string,
  slot: number,
  passphrase: Secret,
): Promise<void> {
  const header = volume.header === undefined ? [] : ["--header", volume.header];
  const args = ["open", ...NO_TOKENS, ...header, "--key-slot", String(slot), ...keyArgs(passphrase)];
  await runCryptsetup(system, volume, [...args, volume.device, name], passphrase.reveal());
}

/** A size of its own, so that no byte of a passphrase ends it. */
function keyArgs(passphrase: Secret, file = "-"): string[] {
  return ["--key-file", file, "--keyfile-size", String(passphrase.lengthBytes)];
}
