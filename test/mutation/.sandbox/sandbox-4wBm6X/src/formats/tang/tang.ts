// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import type { CurveName, Point } from "../jose/curve.ts";
import {
  type EcPublicJwk,
  hasThumbprint,
  jwkOfPoint,
  type PublicJwk,
  parseEcPublicJwk,
  parsePublicJwk,
  pointOf,
  thumbprintOf,
} from "../jose/jwk.ts";
import {
  formatGeneralJws,
  formatJws,
  hasSignatureBy,
  isSignedBy,
  type Jws,
  parseJws,
  payloadOf,
  signJws,
} from "../jose/jws.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { isList } from "../json/narrow.ts";

/** The content type of an advertisement. */
export const ADVERTISEMENT_TYPE = "application/jose+json";
/** The content type of a recovery, both ways. */
export const JWK_TYPE = "application/jwk+json";
/** An advertisement has at most this. */
export const ADVERTISEMENT_BYTES = 64 << 10;
/** tang's own bound: a body of 64 KiB or more is answered 413. */
export const RECOVERY_BYTES = 64 << 10;

const KEY_COUNT = 32;

/** An advertisement that was verified: every signing key that it lists has signed it. */
export interface Advertisement {
  readonly jws: Jws;
  /** The payload's keys as they were written; a binding embeds exactly these. */
  readonly keys: readonly JsonObject[];
  readonly signingKeys: readonly [PublicJwk, ...PublicJwk[]];
  /** In the server's order; a binding uses the first. */
  readonly exchangeKeys: readonly [EcPublicJwk, ...EcPublicJwk[]];
}

/**
 * What `GET /adv` answers: `{"keys":[…]}` as a JWS of content type jwk-set+json that every signer
 * signs. Keys that verify and exchange keys go in with `alg` and `key_ops` as tang writes them.
 */
export function buildAdvertisement(
  keys: { readonly signing: readonly PublicJwk[]; readonly exchange: readonly EcPublicJwk[] },
  signers: readonly [KeyObject, ...KeyObject[]],
): JsonObject {
  const payload = {
    keys: [
      ...keys.signing.map((jwk) => ({ ...bare(jwk), alg: signatureAlgorithm(jwk), key_ops: ["verify"] })),
      ...keys.exchange.map((jwk) => ({ ...bare(jwk), alg: "ECMR", key_ops: ["deriveKey"] })),
    ],
  };
  const header = { cty: "jwk-set+json" };
  const [first, ...others] = signers;
  return formatJws(
    signJws(Buffer.from(JSON.stringify(payload)), [{ key: first, header }, ...others.map((key) => ({ key, header }))]),
  );
}

/**
 * What `GET /adv/{kid}` answers for a signing key that is advertised: as tangd does, the general
 * serialisation, in which the named key signs once more after all the others. The signature that it
 * has made before will do.
 */
export function buildNamedAdvertisement(advertisement: Json, kid: string): JsonObject {
  const { jws, signingKeys } = parseAdvertisement(advertisement);
  const named = signingKeys.find((key) => hasThumbprint(key, kid));
  const again = jws.signatures.filter((signature) => named !== undefined && isSignedBy(jws, signature, named));
  return formatGeneralJws({ ...jws, signatures: [...jws.signatures, ...again.slice(0, 1)] });
}

/**
 * Reads an advertisement and verifies it as clevis does: every key of the payload that may verify
 * has signed. That proves that the document is whole, not whose it is: see `isTrusted`.
 * @throws NightlatchError tang/malformed, jws/malformed, jws/unsupported, jws/wrong-signature,
 *   jwk/malformed, jwk/unsupported, jwk/off-curve
 */
export function parseAdvertisement(json: Json): Advertisement {
  const jws = parseJws(json, "the advertisement");
  for (const { header } of jws.signatures) {
    const type = header["cty"];
    if (type !== undefined && type !== "jwk-set+json") {
      throw new NightlatchError("tang/malformed", "the signed document is not an advertisement of keys");
    }
  }
  const keys = parseKeySet(
    parseJson(payloadOf(jws), "the advertisement's payload", { lengthBytes: ADVERTISEMENT_BYTES }),
  );
  const [firstSigning, ...otherSigning] = keys
    .filter((key) => permits(key, "verify", true))
    .map((key) => parsePublicJwk(key, "a signing key of the advertisement"));
  const [firstExchange, ...otherExchange] = keys
    .filter((key) => permits(key, "deriveKey", true))
    .map((key) => parseEcPublicJwk(key, "an exchange key of the advertisement"));
  if (firstSigning === undefined) throw new NightlatchError("tang/malformed", "the advertisement has no signing key");
  if (firstExchange === undefined) throw new NightlatchError("tang/malformed", "the advertisement has no exchange key");
  const signingKeys = [firstSigning, ...otherSigning] as const;
  for (const key of signingKeys) {
    if (!hasSignatureBy(jws, key)) {
      throw new NightlatchError(
        "jws/wrong-signature",
        `the advertisement is not signed by its key ${thumbprintOf(key)}`,
        {
          remedy: "Check that the address is the key server's own; something in between may have changed its answer.",
        },
      );
    }
  }
  return { jws, keys, signingKeys, exchangeKeys: [firstExchange, ...otherExchange] };
}

/** What makes an advertisement one's own server's. */
export type Trust =
  /** Of one of its signing keys, under any of the hashes S1 to S512. */
  | { readonly thumbprint: string }
  /** Keys that were trusted before: one of them has signed this. */
  | { readonly keys: readonly PublicJwk[] };

/** Tells whether an advertisement is one's own server's. */
export function isTrusted(advertisement: Advertisement, trust: Trust): boolean {
  return "thumbprint" in trust
    ? advertisement.signingKeys.some((key) => hasThumbprint(key, trust.thumbprint))
    : trust.keys.some((key) => hasSignatureBy(advertisement.jws, key));
}

/**
 * Refuses an advertisement that is not one's own server's.
 * @throws NightlatchError tang/untrusted
 */
export function requireTrust(advertisement: Advertisement, trust: Trust): void {
  if (isTrusted(advertisement, trust)) return;
  const names = advertisement.signingKeys.map((key) => thumbprintOf(key)).join(", ");
  throw new NightlatchError("tang/untrusted", `the advertisement is signed by ${names}, none of which is trusted`, {
    meaning: "Somebody may be answering in the key server's place, or its keys were rotated.",
    remedy: "Compare the thumbprint with the one that the server itself shows.",
  });
}

/**
 * Reads `{"keys":[…]}`, each key an object whose content is not judged here.
 * @throws NightlatchError tang/malformed
 */
export function parseKeySet(json: Json): JsonObject[] {
  const keys = isJsonObject(json) ? json["keys"] : undefined;
  if (!isList(keys, KEY_COUNT) || !keys.every(isJsonObject)) {
    throw new NightlatchError("tang/malformed", `the key set is not a list of at most ${KEY_COUNT} keys`);
  }
  return keys;
}

/**
 * Tells whether a key's `use` and `key_ops` permit an operation, as libjose's jose_jwk_prm judges.
 * Either of them may permit it, though no `use` permits deriveKey. Where both are absent the answer
 * is yes, unless permission must be `explicit`.
 */
export function permits(key: JsonObject, operation: "sign" | "verify" | "deriveKey", explicit: boolean): boolean {
  const { use, key_ops: operations } = key;
  if (use === undefined && operations === undefined) return !explicit;
  if (use !== undefined && typeof use !== "string") return false;
  if (use === "sig" && operation !== "deriveKey") return true;
  return Array.isArray(operations) && operations.includes(operation);
}

/**
 * Reads the body of `POST /rec/{kid}`, before the server's own key is looked up, in tang's order.
 * Whether its point is one of the key's curve is not judged yet.
 * @throws NightlatchError tang/malformed (400), tang/forbidden-use (403)
 */
export function parseRecoveryRequest(body: Uint8Array): JsonObject {
  let json: Json;
  try {
    json = parseJson(body, "the recovery request", { lengthBytes: RECOVERY_BYTES });
  } catch (error) {
    throw new NightlatchError("tang/malformed", "the recovery request is not usable JSON", { cause: error });
  }
  if (!isJsonObject(json)) throw new NightlatchError("tang/malformed", "the recovery request is not an object");
  if (!permits(json, "deriveKey", false)) {
    throw new NightlatchError("tang/forbidden-use", "the recovery request's key may not be used for deriveKey");
  }
  if (json["kty"] !== "EC" || (json["alg"] !== undefined && json["alg"] !== "ECMR")) {
    throw new NightlatchError("tang/malformed", "the recovery request is not an EC key for ECMR");
  }
  return json;
}

/** Writes what a client sends and a server answers, with tang's members in their order. */
export function formatRecovery(point: Point): Buffer {
  const { crv, x, y } = jwkOfPoint(point);
  return Buffer.from(JSON.stringify({ alg: "ECMR", crv, key_ops: ["deriveKey"], kty: "EC", x, y }));
}

/**
 * Reads the server's answer: a point of the curve that was asked about.
 * @throws NightlatchError tang/malformed, json/*, jwk/*
 */
export function parseRecoveryReply(body: Uint8Array, curve: CurveName): Point {
  const jwk = parseEcPublicJwk(
    parseJson(body, "the key server's answer", { lengthBytes: RECOVERY_BYTES }),
    "the key server's answer",
  );
  if (jwk.crv !== curve) throw new NightlatchError("tang/malformed", `the key server's answer is not on ${curve}`);
  return pointOf(jwk);
}

function bare(jwk: PublicJwk): JsonObject {
  return jwk.kty === "EC"
    ? { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }
    : { kty: jwk.kty, crv: jwk.crv, x: jwk.x };
}

function signatureAlgorithm(jwk: PublicJwk): string {
  return { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", Ed25519: "EdDSA" }[jwk.crv];
}
