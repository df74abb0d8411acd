// @ts-nocheck
import { shellWord } from "../core/text.ts";
import type { VolumeHeader } from "../luks/header/header.ts";
import { typedSlots } from "../luks/header/typed.ts";
import type { Binding } from "./binding.ts";

/**
 * Warns of a volume that nothing opens but its bindings, or the key that the machine remembers.
 * Null where a person can type something, or where there is no binding that could be lost.
 * @param remembered as typedSlots takes it
 */
export function warnOfNoPassphrase(
  header: VolumeHeader,
  device: string,
  bindings: readonly { readonly binding: Binding; readonly opens: boolean | null }[],
  remembered: number | null,
): { readonly text: string; readonly remedy: string } | null {
  if (bindings.length === 0 || typedSlots(header, remembered).length > 0) return null;
  const volume = shellWord(device);
  const slot = bindings.find(({ opens }) => opens === true)?.binding.token.keyslots[0];
  const shown = slot ?? bindings[0]?.binding.token.keyslots[0] ?? "N";
  return {
    text: `every keyslot belongs to a token${remembered === null ? "" : ", or to the key that this machine remembers"}: without its servers, or the chip that holds its key, nothing opens it any more`,
    remedy:
      header.version === 2
        ? `nightlatch recovery add ${volume}`
        : `cryptsetup luksAddKey --key-file <(clevis luks pass -d ${volume} -s ${shown}) ${volume}`,
  };
}
