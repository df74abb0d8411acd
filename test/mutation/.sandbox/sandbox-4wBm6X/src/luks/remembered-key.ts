// @ts-nocheck
import { isError, NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import type { System } from "../system/port.ts";
import { findOpenedAmong, slotsToTry } from "./cryptsetup/keyslots.ts";
import { listTokens } from "./header/bindings.ts";
import type { VolumeHeader } from "./header/header.ts";

/** Of the key that `nightlatch reboot --remember` keeps on the encrypted root. */
export const REMEMBERED_KEY_BYTES = 64;

/** Where that key lies, within the machine's state folder. */
export const rememberedKeyFile = (stateFolder: string): string => `${stateFolder}/remembered.key`;

/**
 * The remembered key, which the caller wipes; null where there is none.
 * @throws NightlatchError reboot/blocked where others than root can read it
 */
export async function rememberedKey(
  system: Pick<System, "stat" | "readFile">,
  stateFolder: string,
): Promise<Secret | null> {
  const path = rememberedKeyFile(stateFolder);
  const facts = await system.stat(path);
  if (facts === null) return null;
  if (facts.uid !== 0 || (facts.mode & 0o077) !== 0) {
    throw new NightlatchError("reboot/blocked", `${path} can be read by others than root`, {
      meaning: "Whoever read it can open the volumes.",
      remedy: "Run: nightlatch reboot --forget, then --remember",
    });
  }
  return Secret.take(await system.readFile(path, REMEMBERED_KEY_BYTES));
}

/**
 * Finds the keyslot of a volume that a remembered key opens; null where it opens none. Slots that a
 * token refers to are not tried, nor those of passphrases that a person types.
 * @throws NightlatchError as runCryptsetup
 */
export async function findRememberedSlot(
  system: Pick<System, "run">,
  device: string,
  header: VolumeHeader,
  key: Secret,
): Promise<number | null> {
  const bound = new Set(listTokens(header).flatMap(({ keyslots }) => keyslots));
  const fast = slotsToTry(header).fast.filter(({ number }) => !bound.has(number));
  return await findOpenedAmong(system, { device }, fast, key);
}

/**
 * Finds the keyslot that this machine's remembered key opens; null where there is no such key, or
 * it cannot be used: then nobody opens anything by it.
 */
export async function rememberedSlotOf(
  system: Pick<System, "stat" | "readFile" | "run">,
  stateFolder: string,
  device: string,
  header: VolumeHeader,
): Promise<number | null> {
  try {
    using key = await rememberedKey(system, stateFolder);
    return key === null ? null : await findRememberedSlot(system, device, header, key);
  } catch (error) {
    if (isError(error)) return null;
    throw error;
  }
}
