import { listTokens } from "./bindings.ts";
import type { VolumeHeader } from "./header.ts";
import { listSlots } from "./slots.ts";

/** A recovery key of systemd-cryptenroll(1) has a token, and is typed by a person all the same. */
const TYPED = "systemd-recovery";

/**
 * Tells whether there is a keyslot whose passphrase a person types: one that no token of a
 * program's refers to.
 */
export function hasTypedSlot(header: VolumeHeader): boolean {
  const tokens = listTokens(header).filter(({ type }) => type !== TYPED);
  const named = new Set(tokens.flatMap(({ keyslots }) => keyslots));
  return listSlots(header).some(({ number, opensVolume }) => opensVolume && !named.has(number));
}
