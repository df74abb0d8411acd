// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { formatCompactJwe, parseFlattenedJwe } from "../../formats/jose/jwe.ts";
import type { JsonObject } from "../../formats/json/json.ts";
import { findGap, findHole } from "../../formats/luks/luksmeta.ts";
import type { Volume } from "../cryptsetup/cryptsetup.ts";
import { initLuksmeta, saveLuksmeta, wipeLuksmeta } from "../cryptsetup/luksmeta.ts";
import { keepingOthers } from "../cryptsetup/luksmeta-others.ts";
import { type Luks1Volume, readVolumeHeader, type VolumeHeader } from "../header/header.ts";
import type { ChangePower, Ledger } from "./ledger.ts";
import { entrySharing, sharedEntry } from "./removal.ts";

/** A compact JWE of a tang pin has about 2.5 KB. */
const USUAL_TOKEN_BYTES = 4096;

/**
 * Keeps bindings in luksmeta, where stock clevis looks for them; LUKS1 has no place for a note of
 * an intent. luksmeta writes an entry's data first and then the one sector of the table, so an
 * entry is there whole or not at all. It also wipes the data first, so that a wipe that is cut
 * short leaves an entry that cannot be read (removal.ts).
 */
export function luks1Ledger(system: Pick<ChangePower, "run" | "readAt">, volume: Volume): Ledger {
  return {
    requireRoom: (header, tokenBytes) => requireGap(volume.device, asLuks1(header), tokenBytes ?? USUAL_TOKEN_BYTES),
    async addToken(header, token, keyslot) {
      const data = Buffer.from(compactOf(token), "latin1");
      requireGap(volume.device, asLuks1(header), data.length);
      if (asLuks1(header).meta === null) await initLuksmeta(system, volume);
      await keepingOthers(system, volume, keyslot, () => saveLuksmeta(system, volume, keyslot, data));
    },
    async removeToken(token) {
      const other = entrySharing(await readVolumeHeader(system, volume.device), token);
      if (other !== null) throw sharedEntry(token, other);
      await keepingOthers(system, volume, token.id, () => wipeLuksmeta(system, volume, token.id));
    },
    listNotes: () => [],
    addNote: async () => null,
    async removeNote() {
      throw new TypeError("a LUKS1 volume holds no notes");
    },
  };
}

/**
 * Makes sure that there is room: luksmeta itself writes over other entries, and past its own end.
 */
function requireGap(device: string, header: Luks1Volume, lengthBytes: number): void {
  const { meta, metaDamage } = header;
  if (metaDamage !== null) throw metaDamage;
  const hole = findHole(header);
  const gap = hole === null ? "full" : findGap(hole, meta ?? [], lengthBytes);
  if (gap === "taken") throw overAnother(device);
  if (gap === "full") throw noRoom(device, header);
}

/** @throws NightlatchError luks/unsupported for a token that is not clevis's */
function compactOf(token: JsonObject): string {
  if (token["type"] !== "clevis") {
    throw new NightlatchError("luks/unsupported", "a LUKS1 volume can hold tokens of clevis's kind only", {
      meaning: "Nothing was changed.",
      remedy: "Make the volume a LUKS2 one.",
    });
  }
  return formatCompactJwe(parseFlattenedJwe(token["jwe"] ?? null));
}

function asLuks1(header: VolumeHeader): Luks1Volume {
  if (header.version !== 1) throw new TypeError("not a LUKS1 volume");
  return header;
}

function noRoom(device: string, header: Luks1Volume): NightlatchError {
  return new NightlatchError("luks/unsupported", `${device}: the LUKS1 header has no room for a binding`, {
    meaning: "Nothing was changed.",
    remedy: waysToRoom(device, header),
  });
}

/**
 * cryptsetup converts no volume that luksmeta has set up, and none whose data begins right behind
 * its keyslots.
 */
function waysToRoom(device: string, { meta, payloadOffsetBytes }: Luks1Volume): string {
  if (payloadOffsetBytes === 0) {
    return `Make the detached header a LUKS2 one, after a copy of it: cryptsetup convert ${shellWord(device)} --type luks2.`;
  }
  if (meta === null)
    return "A LUKS1 header of that shape cannot be converted: the volume has to be made anew, as LUKS2.";
  return "Take off what is not needed (clevis luks list -d DEV; clevis luks unbind -d DEV -s SLOT), and try again.";
}

function overAnother(device: string): NightlatchError {
  return new NightlatchError(
    "luks/unsupported",
    `${device}: luksmeta as it is up to version 10 would write the binding over another one's data`,
    {
      meaning:
        "It takes the inside of an entry of more than two pages for free. Nothing was changed, and the other binding is whole. " +
        "clevis luks bind would destroy it: do not use it on this volume. Debian mended that in its 10-2; whether the " +
        "luksmeta here is mended was not asked.",
      remedy:
        "See which one is so large: clevis luks list -d DEV. Take it off (clevis luks unbind -d DEV -s SLOT), bind this one, " +
        "and bind the other anew after it.",
    },
  );
}
