/** Keys as only tests hold them: the private half in a JWK, and every name of a key. */
// @ts-nocheck

import { type EcPublicJwk, type PublicJwk, parseEcPublicJwk, thumbprintOf } from "../../src/formats/jose/jwk.ts";
import { isJsonObject, type Json } from "../../src/formats/json/json.ts";

export type EcPrivateJwk = EcPublicJwk & { readonly d: string };

/** A private key that the vectors or jose made. */
export function readEcPrivateJwk(json: Json): EcPrivateJwk {
  return { ...parseEcPublicJwk(json), d: String(isJsonObject(json) && json["d"]) };
}

/** Its thumbprints under S1, S224, S256, S384 and S512. */
export function allThumbprintsOf(jwk: PublicJwk): string[] {
  return (["S1", "S224", "S256", "S384", "S512"] as const).map((hash) => thumbprintOf(jwk, hash));
}
