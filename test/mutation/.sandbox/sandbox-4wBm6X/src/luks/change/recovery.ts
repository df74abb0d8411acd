// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Removal } from "../../formats/own/intent.ts";
import { RECOVERY_TYPE } from "../../formats/systemd/recovery-key.ts";
import { opensSlot } from "../cryptsetup/keyslots.ts";
import type { HeldToken } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";
import { findSlot, looksLikeBinding } from "../header/slots.ts";
import { addToVolume } from "./bind.ts";
import type { Change } from "./change.ts";
import type { ChangePower } from "./ledger.ts";
import { planRemoval } from "./removal.ts";

/**
 * Adds the keyslot of a recovery key and its token, and opens the keyslot with it. The key has to
 * be in its owner's hands before: where this is cut short once slot and token are there, the next
 * change keeps them; else it removes what is there.
 * @throws NightlatchError luks/*, system/*, file/*; nothing was added then
 */
export async function addRecoveryKey(
  system: ChangePower,
  change: Change,
  key: Secret,
): Promise<{ readonly keyslot: number; readonly token: HeldToken }> {
  const { volume } = change;
  return await addToVolume(system, change, {
    passphrase: key,
    token: { type: RECOVERY_TYPE },
    replaces: [],
    operation: "recovery-add",
    what: "the recovery key",
    prove: async (_, keyslot) => {
      if (await opensSlot(system, volume, keyslot, key)) return;
      const what = `${volume.device}: the recovery key does not open keyslot ${keyslot}, which was made for it`;
      throw new NightlatchError("luks/not-proved", what);
    },
  });
}

/**
 * Finds what removes recovery keys. Whoever had the disk can edit a token to name another keyslot,
 * so that is taken only where it looks like a random key's: one that a person types has a slower
 * KDF. The caller has its owner name it.
 * @throws NightlatchError luks/unsupported, luks/not-proved
 */
export function planRecoveryRemovals(
  header: VolumeHeader,
  device: string,
  tokens: readonly HeldToken[],
): readonly Removal[] {
  return tokens.map((token) => {
    const removal = planRemoval(header, token);
    const slot = removal.keyslot === null ? undefined : findSlot(header, removal.keyslot);
    if (slot === undefined || looksLikeBinding(slot)) return removal;
    throw new NightlatchError(
      "luks/not-proved",
      `${device}: token ${token.id} says that keyslot ${slot.number} is a recovery key's, and it does not look like one`,
      {
        meaning:
          "Whoever had the disk can have edited the token, and the keyslot be a passphrase's. Nothing was changed.",
        remedy: `Remove the token alone, and keyslot ${slot.number} stays: cryptsetup token remove --token-id ${token.id} ${device}`,
      },
    );
  });
}
