// @ts-nocheck
import { constants, createPublicKey, type KeyObject, publicEncrypt } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { Secret } from "../../core/secret.ts";
import { ecdhCardHeader, type RsaScheme, rsaCardHeader } from "../../formats/clevis/pkcs11.ts";
import { concatKdf, encryptJwe, type FlattenedJwe } from "../../formats/jose/jwe.ts";
import { jwkOfPoint, parseEcPublicJwk, pointOf } from "../../formats/jose/jwk.ts";
import type { CardKey } from "../../formats/pkcs11/exchange.ts";
import { formatPkcs11Uri, type Pkcs11Uri } from "../../formats/pkcs11/uri.ts";
import { formatWrappedKey } from "../../formats/pkcs11/wrapped-key.ts";
import { provision } from "../../formats/tang/ecmr.ts";
import type { PinPower } from "../pin.ts";
import { recoverSecret } from "../recover.ts";
import { useCard } from "./card.ts";

const CONTENT_KEY_BYTES = 32;
const IV_BYTES = 12;
const TRIAL_BYTES = 32;
/** A shorter modulus is no protection for a disk. */
const RSA_BITS = 2048;

/** The best first. pkcs11-tool, and so clevis, knows the first and the last. */
const SCHEMES: readonly RsaScheme[] = ["RSA-OAEP-SHA-256", "RSA-OAEP-SHA-1", "RSA-PKCS"];

/** Seals to a card's key, which takes no card any more. */
type SealToCard = (secret: Uint8Array) => FlattenedJwe;

/**
 * Finds the key that a URI means, and has the card open something sealed to it: what it could not
 * do now it could not do at a boot. The PIN is asked for once.
 * @throws NightlatchError card/*, file/*
 */
export async function prepareCard(system: PinPower, uri: Pkcs11Uri, limits: AttemptLimits): Promise<SealToCard> {
  const { key } = await useCard(system, uri, { kind: "describe" }, limits);
  if (key === undefined) throw new TypeError("a card was described without its key");
  const text = formatPkcs11Uri(uri);
  const ways =
    key.kind === "EC"
      ? [(secret: Uint8Array) => sealToEcKey(system, text, key, secret)]
      : SCHEMES.map((scheme) => (secret: Uint8Array) => sealToRsaKey(system, text, scheme, rsaKeyOf(key), secret));
  let failure: unknown = null;
  for (const seal of ways) {
    try {
      await tryOut(system, seal, limits);
      return seal;
    } catch (error) {
      // The PIN was right, and the card does not have this way of wrapping.
      if (!isError(error, "card/unsupported") && !isError(error, "card/failed")) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function tryOut(system: PinPower, seal: SealToCard, limits: AttemptLimits): Promise<void> {
  using trial = Secret.take(system.random(TRIAL_BYTES));
  using opened = await recoverSecret(system, seal(trial.reveal()), limits);
  if (opened.reveal().equals(trial.reveal())) return;
  throw new NightlatchError("card/failed", "the card opened something else than what was sealed to it");
}

function rsaKeyOf({ modulus, exponent }: Extract<CardKey, { kind: "RSA" }>): KeyObject {
  const n = Buffer.from(modulus, "hex");
  const first = n.findIndex((byte) => byte !== 0);
  const e = toBase64url(Buffer.from(exponent, "hex"));
  const key = createPublicKey({
    key: { kty: "RSA", n: toBase64url(n.subarray(Math.max(0, first))), e },
    format: "jwk",
  });
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits >= RSA_BITS) return key;
  throw new NightlatchError(
    "card/unsupported",
    `the card's RSA key has ${bits} bits, and less than ${RSA_BITS} are broken`,
    {
      meaning: "Nothing was changed.",
      remedy: `Make a key of ${RSA_BITS} bits or more on the card.`,
    },
  );
}

/** As `clevis encrypt pkcs11` does, but for the padding, which there is always PKCS #1 v1.5's. */
function sealToRsaKey(
  system: Pick<PinPower, "random">,
  uri: string,
  scheme: RsaScheme,
  publicKey: KeyObject,
  secret: Uint8Array,
): FlattenedJwe {
  using key = Secret.take(system.random(CONTENT_KEY_BYTES));
  using jwk = formatWrappedKey(key.reveal());
  const padding = scheme === "RSA-PKCS" ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_OAEP_PADDING;
  const oaepHash = scheme === "RSA-OAEP-SHA-1" ? "sha1" : "sha256";
  const wrapped = publicEncrypt({ key: publicKey, padding, oaepHash }, jwk.reveal());
  return encryptJwe(rsaCardHeader(uri, scheme, toBase64url(wrapped)), key.reveal(), system.random(IV_BYTES), secret);
}

/** ECDH-ES, RFC 7518 section 4.6, with the card's key as the recipient's. */
function sealToEcKey(
  system: Pick<PinPower, "random">,
  uri: string,
  { curve, point }: Extract<CardKey, { kind: "EC" }>,
  secret: Uint8Array,
): FlattenedJwe {
  const bytes = Buffer.from(point, "hex");
  const half = (bytes.length - 1) / 2;
  const jwk = {
    kty: "EC",
    crv: curve,
    x: toBase64url(bytes.subarray(1, 1 + half)),
    y: toBase64url(bytes.subarray(1 + half)),
  };
  const own = parseEcPublicJwk(jwk, "the card's key");
  const { ephemeral, sharedX } = provision(pointOf(own), (length) => system.random(length));
  using key = concatKdf(sharedX, { algorithm: "A256GCM", lengthBytes: CONTENT_KEY_BYTES });
  sharedX.fill(0);
  return encryptJwe(ecdhCardHeader(uri, jwkOfPoint(ephemeral)), key.reveal(), system.random(IV_BYTES), secret);
}
