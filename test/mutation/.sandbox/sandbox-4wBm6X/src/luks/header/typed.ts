// @ts-nocheck
import { RECOVERY_TYPE } from "../../formats/systemd/recovery-key.ts";
import { type HeldToken, listTokens } from "./bindings.ts";
import type { VolumeHeader } from "./header.ts";
import { listSlots } from "./slots.ts";

/**
 * Lists the keyslots whose passphrase a person types: those that no token refers to, and those of
 * recovery keys, which have a token and are typed all the same.
 * @param remembered the keyslot of the key that the machine remembers, which nobody types and which
 *   is lost with the machine's root; null where it has none
 */
export function typedSlots(header: VolumeHeader, remembered: number | null): readonly number[] {
  const tokens = listTokens(header).filter(({ type }) => type !== RECOVERY_TYPE);
  const named = new Set([remembered, ...tokens.flatMap(({ keyslots }) => keyslots)]);
  return listSlots(header).flatMap(({ number, opensVolume }) => (opensVolume && !named.has(number) ? [number] : []));
}

/**
 * Lists the tokens of a volume's recovery keys, systemd's and ours, which are alike. One that names
 * no keyslot in use opens nothing, and is none of them.
 */
export function listRecovery(header: VolumeHeader): readonly HeldToken[] {
  return listTokens(header).filter(({ type, keyslots }) => type === RECOVERY_TYPE && keyslots.length > 0);
}
