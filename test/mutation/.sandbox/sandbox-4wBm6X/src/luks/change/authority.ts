// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { Removal } from "../../formats/own/intent.ts";
import type { HeldToken } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";
import { findSlot, looksLikeBinding } from "../header/slots.ts";
import { type Change, proveToken, readHeader } from "./change.ts";
import type { ChangePower } from "./ledger.ts";
import { planRemoval } from "./removal.ts";

/**
 * Finds what removes tokens and their keyslots, once it is certain that the keyslots are theirs.
 * Whoever had the disk can edit a token, so that it names a keyslot proves nothing: what the
 * token's servers release has to open the slot. A slot in `named` was named by the owner, and is
 * taken without its server if it looks like a binding's. No passphrase is needed: whether another
 * way in stays is for requireAnotherWay to say.
 * @throws NightlatchError luks/unsupported, luks/not-proved
 */
export async function planRemovals(
  system: Pick<ChangePower, "readAt" | "run">,
  change: Pick<Change, "volume" | "prove">,
  tokens: readonly HeldToken[],
  named: ReadonlySet<number>,
): Promise<readonly Removal[]> {
  const header = await readHeader(system, change);
  const removes = tokens.map((token) => planRemoval(header, token));
  for (const token of tokens) {
    const [keyslot] = token.keyslots;
    if (keyslot === undefined) continue;
    const slot = findSlot(header, keyslot);
    const looksRight = slot !== undefined && looksLikeBinding(slot);
    if (looksRight && named.has(keyslot)) continue;
    await proveToken(system, change, token, keyslot).catch((error: unknown) => {
      if (!(error instanceof NightlatchError) || isError(error, "usage/cancelled")) throw error;
      throw notProved(header, change.volume.device, token, keyslot, looksRight, error);
    });
  }
  return removes;
}

function notProved(
  header: VolumeHeader,
  device: string,
  token: HeldToken,
  keyslot: number,
  looksRight: boolean,
  cause: NightlatchError,
): NightlatchError {
  const said = cause.message.replace(`${device}: `, "");
  const test = `cryptsetup open --test-passphrase --key-slot ${keyslot} ${device}`;
  const byHand =
    header.version === 1
      ? `luksmeta wipe -f -d ${device} -s ${token.id}`
      : `cryptsetup token remove --token-id ${token.id} ${device}`;
  const remedy = looksRight
    ? `If no passphrase of yours opens keyslot ${keyslot} (${test}), pass --slot ${keyslot} to remove it all the same.`
    : `Remove the token alone, and keyslot ${keyslot} stays: ${byHand}`;
  const why = looksRight
    ? "A header can be edited by whoever had the disk, so its token alone is not believed. Nothing was changed."
    : "It does not look like a binding's either, but like one for a passphrase that a person types. Nothing was changed.";
  return new NightlatchError(
    "luks/not-proved",
    `${device}: keyslot ${keyslot} is not proved to belong to token ${token.id}: ${said}`,
    { meaning: why, remedy, cause },
  );
}
