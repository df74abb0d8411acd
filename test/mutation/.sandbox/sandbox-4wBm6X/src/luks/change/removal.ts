// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { shareBytes } from "../../formats/luks/luksmeta.ts";
import type { Removal } from "../../formats/own/intent.ts";
import { killKeyslot } from "../cryptsetup/keyslots.ts";
import { type HeldToken, isTokenOf, listTokens } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";
import { findSlot, type Slot } from "../header/slots.ts";
import { type Change, readHeader } from "./change.ts";
import type { ChangePower } from "./ledger.ts";

/** Lists the tokens that refer to a keyslot, apart from the one named and what is left of it. */
export function otherTokensOf(header: VolumeHeader, keyslot: number, digest: string): readonly HeldToken[] {
  return listTokens(header).filter(
    (token) => token.digest !== digest && token.keyslots.includes(keyslot) && !isTorn(header, token),
  );
}

/**
 * Lists the token of that digest and keyslot; or what is left of it where the program that removed
 * it was cut short.
 */
export function remainsOf(header: VolumeHeader, digest: string, keyslot: number | null): readonly HeldToken[] {
  return listTokens(header).filter(
    (token) => isTokenOf(token, { digest, keyslot }) || (token.id === keyslot && isTorn(header, token)),
  );
}

/**
 * luksmeta wipes an entry's data before the table that names it: a wipe that is cut short leaves an
 * entry of which nothing can be read.
 */
function isTorn(header: VolumeHeader, token: HeldToken): boolean {
  return header.version === 1 && token.type === "clevis" && token.json["jwe"] === null;
}

/**
 * Finds another keyslot whose luksmeta entry lies partly where this token's does, so that wiping
 * one destroys both; null where none does, as with LUKS2. luksmeta itself makes such entries:
 * findGap in formats/luks/luksmeta.ts.
 */
export function entrySharing(header: VolumeHeader, token: HeldToken): number | null {
  if (header.version !== 1) return null;
  const mine = header.meta?.find(({ keyslot }) => keyslot === token.id);
  const other = header.meta?.find((entry) => entry !== mine && mine !== undefined && shareBytes(mine, entry));
  return other?.keyslot ?? null;
}

/**
 * Says what would remove a token and the keyslot that it opens.
 * @throws NightlatchError luks/unsupported
 */
export function planRemoval(header: VolumeHeader, token: HeldToken): Removal {
  const sharing = entrySharing(header, token);
  if (sharing !== null) throw sharedEntry(token, sharing);
  const [keyslot, ...more] = token.keyslots;
  if (keyslot === undefined) return { keyslot: null, salt: null, digest: token.digest };
  const others = otherTokensOf(header, keyslot, token.digest);
  const slot = findSlot(header, keyslot);
  if (more.length > 0 || others.length > 0 || slot === undefined) {
    const what =
      more.length > 0 ? `opens keyslots ${token.keyslots.join(", ")}` : "shares its keyslot with another token";
    throw new NightlatchError("luks/unsupported", `token ${token.id} ${what}: it was not made by bind`, {
      meaning: "Nothing was changed.",
      remedy: "Remove it by hand: cryptsetup luksKillSlot, then cryptsetup token remove.",
    });
  }
  return { keyslot, salt: slot.salt, digest: token.digest };
}

/** Makes the error for an entry that shares bytes with another keyslot's. */
export function sharedEntry(token: HeldToken, other: number): NightlatchError {
  const what = `the luksmeta entry of keyslot ${token.id} shares bytes with that of keyslot ${other}`;
  return new NightlatchError("luks/unsupported", what, {
    meaning: "Wiping it would destroy the other as well, if that is not so already. Nothing was changed.",
    remedy: `Take the keyslot alone, after which the entry opens nothing: cryptsetup luksKillSlot DEV ${token.id}`,
  });
}

/** Tells whether nothing of it was removed yet. */
export function isWhole(header: VolumeHeader, removal: Removal): boolean {
  const hasToken = listTokens(header).some((token) => isTokenOf(token, removal));
  return hasToken && (removal.keyslot === null || slotToRemove(header, removal) !== null);
}

/** Tells whether nothing of it is left. */
export function isGone(header: VolumeHeader, removal: Removal): boolean {
  return remainsOf(header, removal.digest, removal.keyslot).length === 0 && slotToRemove(header, removal) === null;
}

/**
 * Removes the keyslot and then the token: a token without its slot opens nothing, a slot without
 * its token would go unnoticed.
 * @throws NightlatchError luks/last-way, as runCryptsetup
 */
export async function carryOut(system: ChangePower, change: Change, removal: Removal): Promise<void> {
  const slot = slotToRemove(await readHeader(system, change), removal);
  if (slot !== null) await killProvedSlot(system, change, slot.number);
  const tokens = remainsOf(await readHeader(system, change), removal.digest, removal.keyslot);
  for (const token of tokens) await change.ledger.removeToken(token);
}

/**
 * Destroys one keyslot, and only with another way in that was proved.
 * @throws NightlatchError luks/last-way, as runCryptsetup
 */
export async function killProvedSlot(system: ChangePower, change: Change, keyslot: number): Promise<void> {
  if (change.openedBy === keyslot) throw lastWay(change.volume.device, keyslot);
  await killKeyslot(system, change.volume, keyslot, change.passphrase);
}

/**
 * Makes sure that the passphrase which was given opens another slot than those that go.
 * @throws NightlatchError luks/last-way
 */
export function requireAnotherWay({ volume, openedBy }: Change, removes: readonly Removal[]): void {
  if (removes.some(({ keyslot }) => keyslot === openedBy)) throw lastWay(volume.device, openedBy);
}

function lastWay(device: string, keyslot: number): NightlatchError {
  return new NightlatchError(
    "luks/last-way",
    `${device}: the passphrase that was given opens only keyslot ${keyslot}, which is to be removed`,
    {
      meaning: "No other way into the volume is proved. Nothing was removed.",
      remedy: "Give a passphrase that stays, or add one first with cryptsetup luksAddKey.",
    },
  );
}

/**
 * null where the slot is gone, or what is there is not what was to be removed, or another token
 * needs it.
 */
function slotToRemove(header: VolumeHeader, { keyslot, salt, digest }: Removal): Slot | null {
  if (keyslot === null) return null;
  const slot = findSlot(header, keyslot);
  if (slot === undefined || slot.salt !== salt) return null;
  return otherTokensOf(header, keyslot, digest).length === 0 ? slot : null;
}
