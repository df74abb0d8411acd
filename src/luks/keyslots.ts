import { isError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import type { System } from "../system/port.ts";
import { runCryptsetup, type Volume } from "./cryptsetup.ts";
import type { VolumeHeader } from "./header.ts";
import { listSlots } from "./slots.ts";

/**
 * `cryptsetup open` tries the volume's tokens before it looks at the key that it is given, and says 0 when a token in a keyring
 * or a TPM opened it: a wrong passphrase would pass for the right one. Both options together leave no token to try.
 */
const NO_TOKENS = ["--disable-external-tokens", "--token-type", "nightlatch-none"];

/**
 * Whether a passphrase opens this very keyslot.
 * @param slot a slot in use
 * @throws NightlatchError as runCryptsetup
 */
export async function opensSlot(
  power: Pick<System, "run">,
  volume: Volume,
  slot: number,
  passphrase: Secret,
): Promise<boolean> {
  const args = ["open", "--test-passphrase", ...NO_TOKENS, "--key-slot", String(slot), ...keyArgs(passphrase)];
  try {
    await runCryptsetup(power, volume, [...args, volume.device], passphrase.reveal());
    return true;
  } catch (error) {
    if (isError(error, "luks/wrong-passphrase")) return false;
    throw error;
  }
}

/**
 * The first keyslot that a passphrase opens, in cryptsetup's order but for those in `last`, which are tried at the end; null
 * where it opens none. Takes one KDF for each slot that it tries.
 */
export async function findSlotOpenedBy(
  power: Pick<System, "run">,
  volume: Volume,
  header: VolumeHeader,
  passphrase: Secret,
  last: ReadonlySet<number> = new Set(),
): Promise<number | null> {
  const slots = listSlots(header).filter((slot) => slot.opensVolume);
  const ordered = [...slots.filter((slot) => !last.has(slot.number)), ...slots.filter((slot) => last.has(slot.number))];
  for (const { number } of ordered) if (await opensSlot(power, volume, number, passphrase)) return number;
  return null;
}

/** @throws NightlatchError as runCryptsetup; luks/refused where the slot is taken or there is no room for it */
export async function addKeyslot(
  power: Pick<System, "run">,
  volume: Volume,
  slot: { readonly number: number; readonly iterations: number; readonly passphrase: Secret },
  current: Secret,
): Promise<void> {
  const both = Buffer.concat([current.reveal(), slot.passphrase.reveal()]);
  try {
    const kdf = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", String(slot.iterations)];
    const sizes = [...keyArgs(current), "--new-keyfile-size", String(slot.passphrase.lengthBytes)];
    const args = ["luksAddKey", "-q", "--key-slot", String(slot.number), ...kdf, ...sizes, volume.device, "-"];
    await runCryptsetup(power, volume, args, both);
  } finally {
    both.fill(0);
  }
}

/**
 * Has a key without a slot's number tried on this slot before all others, each of which costs a KDF (LUKS2 alone has such an order).
 * @throws NightlatchError as runCryptsetup
 */
export async function preferKeyslot(power: Pick<System, "run">, volume: Volume, slot: number): Promise<void> {
  const args = ["config", "-q", "--key-slot", String(slot), "--priority", "prefer", volume.device];
  await runCryptsetup(power, volume, args);
}

/**
 * Destroys a keyslot. With -q cryptsetup destroys the last one as readily as any other: the caller has proved that `remaining`
 * opens another slot, and cryptsetup proves it once more before it wipes.
 * @throws NightlatchError as runCryptsetup
 */
export async function killKeyslot(
  power: Pick<System, "run">,
  volume: Volume,
  slot: number,
  remaining: Secret,
): Promise<void> {
  const args = ["luksKillSlot", "-q", ...keyArgs(remaining), volume.device, String(slot)];
  await runCryptsetup(power, volume, args, remaining.reveal());
}

/** Opens the volume under a name of the device mapper, with this keyslot. @throws NightlatchError as runCryptsetup */
export async function openVolume(
  power: Pick<System, "run">,
  volume: Volume,
  name: string,
  slot: number,
  passphrase: Secret,
): Promise<void> {
  const args = ["open", ...NO_TOKENS, "--key-slot", String(slot), ...keyArgs(passphrase), volume.device, name];
  await runCryptsetup(power, volume, args, passphrase.reveal());
}

/** A size of its own, so that no byte of a passphrase ends it. */
function keyArgs(passphrase: Secret): string[] {
  return ["--key-file", "-", "--keyfile-size", String(passphrase.lengthBytes)];
}
