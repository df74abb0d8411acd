// @ts-nocheck
import type { EcPublicJwk } from "../jose/jwk.ts";
import { parseEcPublicJwk } from "../jose/jwk.ts";
import type { JsonObject } from "../json/json.ts";
import { isText } from "../json/narrow.ts";
import { type Pkcs11Uri, parsePkcs11Uri } from "../pkcs11/uri.ts";
import { type ClevisPin, configurationOf, decodeMember, malformedBinding, requireAlgorithm } from "./clevis.ts";

/** clevis's name of a binding whose key is wrapped for an RSA key of a card. */
export const RSA_PIN = "pkcs11";
/** Our own name of one whose key is agreed with an EC key of a card; clevis has none. */
export const ECDH_PIN = "pkcs11-ecdh";

/** How a key is wrapped for an RSA key; the hash of OAEP is that of its MGF1, too. */
export type RsaScheme = "RSA-PKCS" | "RSA-OAEP-SHA-1" | "RSA-OAEP-SHA-256";

/** What a binding to an RSA key holds beside its ciphertext: docs/format/clevis.md. */
interface RsaCardPin {
  readonly uri: Pkcs11Uri;
  readonly scheme: RsaScheme;
  /** The wrapped key: as long as the modulus. */
  readonly wrapped: Buffer;
}

/** What a binding to an EC key holds beside its ciphertext: docs/format/clevis.md. */
interface EcdhCardPin {
  readonly uri: Pkcs11Uri;
  readonly ephemeral: EcPublicJwk;
}

/** RSA of 16384 bits. */
const WRAPPED_BYTES = 2048;
const URI_LENGTH = 2048;
const OAEP = "RSA-PKCS-OAEP";

/**
 * Reads the header of a binding to an RSA key. What clevis itself writes is wrapped by PKCS #1
 * v1.5, whose mechanism it names or leaves out.
 * @throws NightlatchError clevis/malformed, jwe/unsupported, pkcs11/malformed
 */
export function parseRsaCardPin(clevis: ClevisPin): RsaCardPin {
  const { key, mechanism = "", hash = "SHA-256", uri } = configurationOf(clevis);
  requireAlgorithm(clevis, "dir");
  if (!isText(key, 2 * WRAPPED_BYTES)) malformedBinding("the binding holds no key that is wrapped for a card");
  const wrapped = decodeMember(key, "the key that is wrapped for a card");
  if (wrapped.length > WRAPPED_BYTES) malformedBinding("the key that is wrapped for a card is too long");
  return { uri: uriOf(uri), scheme: schemeOf(mechanism, hash), wrapped };
}

/** Makes the header of a binding to an RSA key, as clevis writes it; `hash` is our own. */
export function rsaCardHeader(uri: string, scheme: RsaScheme, wrapped: string): JsonObject {
  const hash = scheme === "RSA-OAEP-SHA-1" ? { hash: "SHA-1" } : {};
  const mechanism = scheme === "RSA-PKCS" ? scheme : OAEP;
  const pkcs11: JsonObject = { ...hash, key: wrapped, mechanism, uri };
  return { alg: "dir", clevis: { pin: RSA_PIN, pkcs11 }, enc: "A256GCM" };
}

/**
 * Reads the header of a binding to an EC key.
 * @throws NightlatchError clevis/malformed, jwe/unsupported, jwk/*, pkcs11/malformed
 */
export function parseEcdhCardPin(clevis: ClevisPin): EcdhCardPin {
  const { uri } = configurationOf(clevis);
  requireAlgorithm(clevis, "ECDH-ES");
  const ephemeral = parseEcPublicJwk(clevis.header["epk"] ?? null, "the binding's ephemeral key");
  return { uri: uriOf(uri), ephemeral };
}

/** Makes the header of a binding to an EC key. */
export function ecdhCardHeader(uri: string, { kty, crv, x, y }: EcPublicJwk): JsonObject {
  return {
    alg: "ECDH-ES",
    clevis: { pin: ECDH_PIN, [ECDH_PIN]: { uri } },
    enc: "A256GCM",
    epk: { crv, kty, x, y },
  };
}

function uriOf(json: unknown): Pkcs11Uri {
  if (typeof json !== "string" || json === "" || json.length > URI_LENGTH) {
    malformedBinding("the binding holds no PKCS#11 URI");
  }
  return parsePkcs11Uri(json);
}

function schemeOf(mechanism: unknown, hash: unknown): RsaScheme {
  if (mechanism === "" || mechanism === "RSA-PKCS") return "RSA-PKCS";
  if (mechanism !== OAEP) malformedBinding("the binding's mechanism is none that a key is wrapped by here");
  if (hash === "SHA-1" || hash === "SHA-256") return `RSA-OAEP-${hash}`;
  return malformedBinding("the binding's hash is neither SHA-1 nor SHA-256");
}
