import { NightlatchError } from "../core/errors.ts";
import type { JsonObject } from "../formats/json.ts";
import { formatCompactJwe, parseFlattenedJwe } from "../formats/jwe.ts";
import { findHole } from "../formats/luksmeta.ts";
import type { Volume } from "./cryptsetup.ts";
import type { Luks1Volume, VolumeHeader } from "./header.ts";
import type { ChangePower, Ledger } from "./ledger.ts";
import { hasRoom, initLuksmeta, saveLuksmeta, wipeLuksmeta } from "./luksmeta.ts";

/**
 * Bindings in luksmeta, where stock clevis looks for them; LUKS1 has no place for a note of an intent. luksmeta writes an entry's
 * data first and then the one sector of the table, so an entry is there whole or not at all; it also wipes the data first, so that a wipe
 * that is cut short leaves an entry that cannot be read (removal.ts).
 */
export function luks1Ledger(power: Pick<ChangePower, "run">, volume: Volume): Ledger {
  return {
    requireRoom(header, tokenBytes) {
      const { meta, metaDamage } = asLuks1(header);
      const hole = findHole(asLuks1(header));
      if (metaDamage !== null) throw metaDamage;
      if (hole === null || !hasRoom(hole, meta ?? [], tokenBytes)) throw noRoom(volume.device);
    },
    async addToken(header, token, keyslot) {
      if (asLuks1(header).meta === null) await initLuksmeta(power, volume);
      await saveLuksmeta(power, volume, keyslot, Buffer.from(compactOf(token), "latin1"));
    },
    removeToken: (token) => wipeLuksmeta(power, volume, token.id),
    listNotes: () => [],
    addNote: async () => null,
    async removeNote() {
      throw new TypeError("a LUKS1 volume holds no notes");
    },
  };
}

/** @throws NightlatchError luks/unsupported for a token that is not clevis's */
function compactOf(token: JsonObject): string {
  if (token["type"] !== "clevis") {
    throw new NightlatchError("luks/unsupported", "a LUKS1 volume can hold tokens of clevis's kind only", {
      meaning: "Nothing was changed.",
      remedy: "Convert the volume with cryptsetup convert --type luks2, after a header backup.",
    });
  }
  return formatCompactJwe(parseFlattenedJwe(token["jwe"] ?? null));
}

function asLuks1(header: VolumeHeader): Luks1Volume {
  if (header.version !== 1) throw new TypeError("not a LUKS1 volume");
  return header;
}

function noRoom(device: string): NightlatchError {
  return new NightlatchError("luks/unsupported", `${device}: the LUKS1 header has no room for a binding`, {
    meaning: "Nothing was changed.",
    remedy: "Convert the volume with cryptsetup convert --type luks2, after a header backup.",
  });
}
