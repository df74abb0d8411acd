// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import {
  type EcPublicJwk,
  hasThumbprint,
  type PublicJwk,
  parseEcPublicJwk,
  parsePublicJwk,
  thumbprintOf,
} from "../jose/jwk.ts";
import type { Json, JsonObject } from "../json/json.ts";
import { isText } from "../json/narrow.ts";
import { parseKeySet, permits } from "../tang/tang.ts";
import { type ClevisPin, configurationOf, decodeMember, malformedBinding, requireAlgorithm } from "./clevis.ts";

/** What a tang binding holds beside its ciphertext: docs/format/clevis.md. A latch's is one. */
export interface TangPin {
  readonly url: string;
  /** Thumbprint that names the server's exchange key: S256, or S1 by clevis before version 17. */
  readonly kid: string;
  /** The client's point of the provisioning, C. */
  readonly ephemeral: EcPublicJwk;
  /** The server's exchange key S as it was advertised then, on the curve of `ephemeral`. */
  readonly exchangeKey: EcPublicJwk;
  /**
   * Those of the advertised keys that may verify and that we can use: the trust for the server's
   * next advertisement.
   */
  readonly signingKeys: readonly PublicJwk[];
  /** RFC 7518 section 4.6.1.2; clevis writes none. */
  readonly partyU: Buffer;
  readonly partyV: Buffer;
}

/**
 * Makes the header that `clevis encrypt tang` writes, member for member.
 * @param binding.keys the advertisement's, as they were written
 */
export function tangHeader(binding: {
  readonly url: string;
  readonly exchangeKey: EcPublicJwk;
  readonly ephemeral: EcPublicJwk;
  readonly keys: readonly JsonObject[];
}): JsonObject {
  const { crv, kty, x, y } = binding.ephemeral;
  return {
    alg: "ECDH-ES",
    clevis: { pin: "tang", tang: { adv: { keys: [...binding.keys] }, url: binding.url } },
    enc: "A256GCM",
    epk: { crv, kty, x, y },
    kid: thumbprintOf(binding.exchangeKey),
  };
}

const URL_LENGTH = 2048;
/** RFC 1035 section 2.3.4, without the dot at the end. */
const HOST_LENGTH = 253;

/**
 * Reads the header of a tang binding.
 * @throws NightlatchError clevis/malformed, jwe/unsupported, jwk/* (the ephemeral key),
 *   tang/malformed
 */
export function parseTangPin(clevis: ClevisPin): TangPin {
  const { header } = clevis;
  const configuration = configurationOf(clevis);
  requireAlgorithm(clevis, "ECDH-ES");
  const { kid } = header;
  if (typeof kid !== "string" || kid.length > 128) malformedBinding("the binding names no key of the server");
  const keys = parseKeySet(configuration["adv"] ?? null);
  const ephemeral = parseEcPublicJwk(header["epk"] ?? null, "the binding's ephemeral key");
  const exchangeKey = keys.map(usable).find((jwk) => jwk !== null && hasThumbprint(jwk, kid));
  if (exchangeKey?.kty !== "EC" || exchangeKey.crv !== ephemeral.crv) {
    malformedBinding("the binding holds no exchange key of the name and the curve that it gives");
  }
  const signingKeys = keys
    .filter((key) => permits(key, "verify", true))
    .map(usable)
    .filter((jwk) => jwk !== null);
  return {
    url: parseServerUrl(configuration["url"]),
    kid,
    ephemeral,
    exchangeKey,
    signingKeys,
    partyU: party(header, "apu"),
    partyV: party(header, "apv"),
  };
}

/** clevis hands its address to curl, which takes one without a scheme for http. */
function parseServerUrl(json: Json | undefined): string {
  if (!isText(json, URL_LENGTH) || !/^[!-~]+$/.test(json)) {
    malformedBinding("the binding holds no usable address of a server");
  }
  const url = json.includes("://") ? json : `http://${json}`;
  if (!URL.canParse(url) || !/^https?:\/\//i.test(url))
    malformedBinding("the binding's server is not at an http address");
  const { username, password, hostname } = new URL(url);
  if (username !== "" || password !== "") throw withCredentials();
  if (hostname.length > HOST_LENGTH) malformedBinding("the binding's server has a name that no host has");
  return url;
}

/** docs/decisions/013-no-credentials-in-addresses.md */
function withCredentials(): NightlatchError {
  return new NightlatchError(
    "clevis/malformed",
    "the address of the binding's server holds credentials, and is not asked",
    {
      meaning: "Whoever reads the volume's header reads them. Stock clevis may open the volume; its passphrase does.",
      remedy:
        "Bind the volume to the address without them, remove this binding with nightlatch unbind DEV --slot N, " +
        "and change the password that was in it.",
    },
  );
}

/**
 * Reads a key of the advertisement; null for one that we cannot use. A tang may list such beside
 * the one that matters, which must not lock the volume.
 */
function usable(key: JsonObject): PublicJwk | null {
  try {
    return parsePublicJwk(key);
  } catch (error) {
    if (error instanceof NightlatchError && error.code.startsWith("jwk/")) return null;
    throw error;
  }
}

function party(header: JsonObject, member: "apu" | "apv"): Buffer {
  const value = header[member];
  if (value === undefined) return Buffer.alloc(0);
  if (typeof value !== "string" || value.length > 1024) malformedBinding(`the binding's ${member} is not usable`);
  return decodeMember(value, `the binding's ${member}`);
}
