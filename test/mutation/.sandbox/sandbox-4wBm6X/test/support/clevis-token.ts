// @ts-nocheck
import { type FlattenedJwe, formatFlattenedJwe } from "../../src/formats/jose/jwe.ts";
import type { JsonObject } from "../../src/formats/json/json.ts";

/** What `cryptsetup token import` takes for a binding that opens one keyslot. */
export function clevisToken(jwe: FlattenedJwe, keyslot: number): JsonObject {
  return { type: "clevis", keyslots: [String(keyslot)], jwe: formatFlattenedJwe(jwe) };
}
