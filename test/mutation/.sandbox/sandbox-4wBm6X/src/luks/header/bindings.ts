// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { formatFlattenedJwe, parseCompactJwe } from "../../formats/jose/jwe.ts";
import type { JsonObject } from "../../formats/json/json.ts";
import { CLEVIS_UUID } from "../../formats/luks/luksmeta.ts";
import { tokenDigest } from "../../formats/own/intent.ts";
import type { Luks1Volume, LuksmetaRecord, VolumeHeader } from "./header.ts";

/** A token that says how keyslots are opened, in LUKS2's own form whichever version holds it. */
export interface HeldToken {
  /** LUKS2: the token's number. LUKS1: the keyslot whose entry in luksmeta it is. */
  readonly id: number;
  readonly type: string;
  /** Keyslots in use that it opens. */
  readonly keyslots: readonly number[];
  /** Untrusted beyond `type`; `parseClevisToken` takes it. */
  readonly json: JsonObject;
  /** docs/format/intent.md */
  readonly digest: string;
}

/**
 * Lists all tokens of a volume by their number, other programs' and nonsense included. What a
 * luksmeta entry holds is shown as a token.
 */
export function listTokens(header: VolumeHeader): readonly HeldToken[] {
  if (header.version === 1) return (header.meta ?? []).map((record) => fromLuksmeta(header, record));
  return [...header.tokens]
    .sort(([a], [b]) => a - b)
    .map(([id, json]) => {
      const keyslots = (json["keyslots"] as string[]).map(Number).filter((slot) => header.keyslots.has(slot));
      return { id, type: json["type"] as string, keyslots, json, digest: tokenDigest(json) };
    });
}

/**
 * Tells whether a token is the one of that digest and keyslot, or what it is once the keyslot has
 * gone. A digest alone does not tell recovery keys apart: they are all alike.
 */
export function isTokenOf(
  token: HeldToken,
  { digest, keyslot }: { readonly digest: string; readonly keyslot: number | null },
): boolean {
  return token.digest === digest && token.keyslots.every((one) => one === keyslot);
}

function fromLuksmeta(header: Luks1Volume, record: LuksmetaRecord): HeldToken {
  const { keyslot, uuid } = record;
  const type = uuid === CLEVIS_UUID ? "clevis" : `luksmeta-${uuid}`;
  const keyslots = header.keyslots[keyslot]?.active === true ? [keyslot] : [];
  const json = { type, keyslots: keyslots.map(String), jwe: type === "clevis" ? readJwe(record) : null };
  return { id: keyslot, type, keyslots, json, digest: tokenDigest(json) };
}

/**
 * Reads the JWE of a luksmeta entry. Where it cannot be read it is null, which no parser of
 * bindings takes: that the entry is there matters nonetheless.
 */
function readJwe(record: LuksmetaRecord): JsonObject | null {
  if (record.data === null) return null;
  try {
    return formatFlattenedJwe(parseCompactJwe(record.data.toString("latin1")));
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}
