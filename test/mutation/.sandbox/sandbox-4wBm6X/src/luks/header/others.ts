// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { isTokenOf, listTokens } from "./bindings.ts";
import type { VolumeHeader } from "./header.ts";

/**
 * Lists the tokens of `before`, by their number, that are not in `after` as they were: other
 * programs' above all. New ones are no harm, nor are those in `except`.
 */
export function changedTokens(
  before: VolumeHeader,
  after: VolumeHeader,
  except: readonly { readonly digest: string; readonly keyslot: number | null }[],
): readonly number[] {
  const now = new Map(listTokens(after).map((token) => [token.id, token]));
  const others = listTokens(before).filter((token) => !except.some((one) => isTokenOf(token, one)));
  return others.filter(({ id, digest }) => now.get(id)?.digest !== digest).map(({ id }) => id);
}

/**
 * Makes the error for a change that harmed something it was not about.
 * @param what as in "token 3"
 * @param backup of the header as it was before the change; null where that holds no tokens, as with
 *   LUKS1
 */
export function harmed(device: string, what: string, backup: string | null): NightlatchError {
  const message = `${device}: ${what} that had no part in the change is not what it was`;
  const why = "Another program changed it meanwhile, or something is broken.";
  if (backup === null) {
    return new NightlatchError("luks/harmed", message, {
      meaning: `${why} What it sealed may be lost; its keyslot and the passphrases are whole.`,
      remedy: `See whether it opens: clevis luks list -d ${shellWord(device)}. If not, bind it anew with a passphrase.`,
    });
  }
  return new NightlatchError("luks/harmed", message, {
    meaning: `${why} The header as it was is kept in ${backup}.`,
    remedy: `If the volume does not open as before: cryptsetup luksHeaderRestore ${shellWord(device)} --header-backup-file ${shellWord(backup)}`,
  });
}
