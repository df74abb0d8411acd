// @ts-nocheck
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
    requireRoom(header, tokenBytes) {
      const luks2 = asLuks2(header);
      if (findFreeTokens(luks2, 2).length < 2) throw noTokenSlot(volume.device);
      const needed = (tokenBytes ?? 0) + BESIDE_BYTES;
      if (needed > luks2.freeBytes) throw noRoom(volume.device, needed, luks2.freeBytes);
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

/** What a keyslot and the note of an intent take beside the token; a little less than they do. */
const BESIDE_BYTES = 450;

function noRoom(device: string, needed: number, free: number): NightlatchError {
  const what = `${device}: the binding takes ${needed} bytes of the header's metadata, and ${free} are left`;
  return new NightlatchError("luks/no-token-slot", what, {
    meaning:
      "Nothing was changed. Keys of a tang take more room than those of a latch, and shares more than they take alone.",
    remedy:
      "Remove a binding that is not needed with nightlatch unbind, or bind to fewer shares; see nightlatch status.",
  });
}

function noTokenSlot(device: string): NightlatchError {
  return new NightlatchError("luks/no-token-slot", `${device}: fewer than two of the 32 LUKS2 tokens are free`, {
    meaning: "Nothing was changed.",
    remedy: "See what holds them with cryptsetup luksDump, and remove one with cryptsetup token remove.",
  });
}
