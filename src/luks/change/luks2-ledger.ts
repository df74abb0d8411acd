import { NightlatchError } from "../../core/errors.ts";
import { formatIntent } from "../../formats/own/intent.ts";
import type { System } from "../../system/port.ts";
import type { Volume } from "../cryptsetup/cryptsetup.ts";
import { findFreeTokens, importToken, removeToken } from "../cryptsetup/tokens.ts";
import { listTokens } from "../header/bindings.ts";
import type { Luks2Volume, VolumeHeader } from "../header/header.ts";
import { type Ledger, notesAmong } from "./ledger.ts";

/**
 * Keeps tokens and notes of intents in the header itself. A token's number is chosen here, so that
 * cryptsetup refuses the second of two that race.
 */
export function luks2Ledger(system: Pick<System, "run">, volume: Volume): Ledger {
  const nextToken = (header: VolumeHeader): number => {
    const [id] = findFreeTokens(asLuks2(header), 1);
    if (id === undefined) throw noTokenSlot(volume.device);
    return id;
  };
  return {
    requireRoom(header) {
      if (findFreeTokens(asLuks2(header), 2).length < 2) throw noTokenSlot(volume.device);
    },
    async addToken(header, token, keyslot) {
      await importToken(system, volume, nextToken(header), { ...token, keyslots: [String(keyslot)] });
    },
    removeToken: (token) => removeToken(system, volume, token.id),
    listNotes: (header) => notesAmong(listTokens(header), volume.device),
    async addNote(header, intent) {
      const id = nextToken(header);
      await importToken(system, volume, id, formatIntent(intent));
      return id;
    },
    removeNote: (token) => removeToken(system, volume, token),
  };
}

function asLuks2(header: VolumeHeader): Luks2Volume {
  if (header.version !== 2) throw new TypeError("not a LUKS2 volume");
  return header;
}

function noTokenSlot(device: string): NightlatchError {
  return new NightlatchError("luks/no-token-slot", `${device}: fewer than two of the 32 LUKS2 tokens are free`, {
    meaning: "Nothing was changed.",
    remedy: "See what holds them with cryptsetup luksDump, and remove one with cryptsetup token remove.",
  });
}
