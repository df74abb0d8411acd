// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import { ECDH_PIN, parseEcdhCardPin, parseRsaCardPin, RSA_PIN } from "../../formats/clevis/pkcs11.ts";
import { concatKdf } from "../../formats/jose/jwe.ts";
import type { EcPublicJwk } from "../../formats/jose/jwk.ts";
import { formatPkcs11Uri, type Pkcs11Uri } from "../../formats/pkcs11/uri.ts";
import { parseWrappedKey } from "../../formats/pkcs11/wrapped-key.ts";
import type { BoundPin, Pin, RecoverAttempt } from "../pin.ts";

const CONTENT_KEY_BYTES = 32;

/** The pin pkcs11: the content key is wrapped for an RSA key of a card. */
export const pkcs11Pin: Pin = {
  name: RSA_PIN,
  read(clevis) {
    const { uri, scheme, wrapped } = parseRsaCardPin(clevis);
    const never = scheme === "RSA-OAEP-SHA-1" ? NO_SHA1 : null;
    return bound({ name: RSA_PIN, uri, never }, async ({ system, limits }) => {
      const { useCard } = await import("./card.ts"); // most machines have no card
      const { secrets } = await useCard(system, uri, { kind: "decrypt", scheme, input: wrapped }, limits);
      return eachKey(secrets, (jwk) => parseWrappedKey(jwk.reveal()));
    });
  },
};

/** The pin pkcs11-ecdh, which is our own: the content key is agreed with an EC key of a card. */
export const pkcs11EcdhPin: Pin = {
  name: ECDH_PIN,
  read(clevis) {
    const { uri, ephemeral } = parseEcdhCardPin(clevis);
    return bound({ name: ECDH_PIN, uri, never: NO_EC }, async ({ system, limits }) => {
      const { useCard } = await import("./card.ts");
      const input = encodePoint(ephemeral);
      const { secrets } = await useCard(system, uri, { kind: "derive", curve: ephemeral.crv, input }, limits);
      return eachKey(secrets, (shared) =>
        concatKdf(shared.reveal(), { algorithm: "A256GCM", lengthBytes: CONTENT_KEY_BYTES }),
      );
    });
  },
};

/** SEC 1, uncompressed. */
function encodePoint({ x, y }: EcPublicJwk): Buffer {
  return Buffer.concat([Buffer.from([4]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
}

const NO_SHA1 = "clevis, which opens the volume there, does not know OAEP with SHA-1, which is this card's";
const NO_EC = "clevis, which opens the volume there, opens nothing by an EC key of a card";

interface CardBinding {
  readonly name: string;
  readonly uri: Pkcs11Uri;
  /** As EarlyNeeds has it; null where stock clevis opens it. */
  readonly never: string | null;
}

function bound({ name, uri, never }: CardBinding, recover: (attempt: RecoverAttempt) => Promise<Secret[]>): BoundPin {
  const text = formatPkcs11Uri({ token: uri.token, object: uri.object });
  return {
    kind: "pkcs11",
    urls: [],
    target: text,
    children: [],
    early: { pins: [name], network: false, ...(never === null ? {} : { never }) },
    describe: () => text,
    recover,
  };
}

/**
 * Makes a candidate of each secret that a card gave, and wipes that. One that is none is left out.
 */
function eachKey(secrets: readonly Secret[], make: (secret: Secret) => Secret): Secret[] {
  let failure: unknown = null;
  const keys = secrets.flatMap((secret) => {
    try {
      return [make(secret)];
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      failure = error;
      return [];
    } finally {
      secret.wipe();
    }
  });
  if (keys.length === 0 && failure !== null) throw failure;
  return keys;
}
