import { NightlatchError } from "../../core/errors.ts";
import {
  type FlattenedJwe,
  formatFlattenedJwe,
  parseCompactJwe,
  parseFlattenedJwe,
  parseJweHeader,
} from "../jose/jwe.ts";
import {
  type EcPublicJwk,
  hasThumbprint,
  type PublicJwk,
  parseEcPublicJwk,
  parsePublicJwk,
  thumbprintOf,
} from "../jose/jwk.ts";
import { isJsonObject, type Json, type JsonObject } from "../json/json.ts";
import { parseKeySet, permits } from "../tang/tang.ts";

/** A LUKS2 token of type `clevis`: docs/format/clevis.md. */
export interface ClevisToken {
  readonly keyslots: readonly number[];
  readonly jwe: FlattenedJwe;
}

/** LUKS2 has 32 keyslots. */
const KEYSLOT_COUNT = 32;

/**
 * A token of a LUKS2 header; null where its type is not `clevis`. Members that are not known are ignored.
 * @throws NightlatchError clevis/malformed, jwe/malformed, jwe/unsupported
 */
export function parseClevisToken(token: Json): ClevisToken | null {
  if (!isJsonObject(token) || token["type"] !== "clevis") return null;
  const { keyslots, jwe } = token;
  if (!Array.isArray(keyslots) || keyslots.length > KEYSLOT_COUNT) {
    malformed(`the token's keyslots are not a list of at most ${KEYSLOT_COUNT}`);
  }
  const slots = keyslots.map((slot) => {
    if (typeof slot !== "string" || !/^(?:0|[1-9]\d?)$/.test(slot) || Number(slot) >= KEYSLOT_COUNT) {
      malformed("the token names something that is not a keyslot");
    }
    return Number(slot);
  });
  if (new Set(slots).size !== slots.length) malformed("the token names a keyslot twice");
  return { keyslots: slots, jwe: parseFlattenedJwe(jwe ?? null, "the token's JWE") };
}

/** What `cryptsetup token import` takes. */
export function formatClevisToken(jwe: FlattenedJwe, keyslot: number): JsonObject {
  return { type: "clevis", keyslots: [String(keyslot)], jwe: formatFlattenedJwe(jwe) };
}

/** What a clevis JWE's header says about how it is opened. */
export type ClevisPin = TangPin | SssPin | OtherPin;

export interface TangPin {
  readonly pin: "tang";
  readonly url: string;
  /** Thumbprint that names the server's exchange key: S256, or S1 by clevis before version 17. */
  readonly kid: string;
  /** The client's point of the provisioning, C. */
  readonly ephemeral: EcPublicJwk;
  /** The server's exchange key S as it was advertised then, on the curve of `ephemeral`. */
  readonly exchangeKey: EcPublicJwk;
  /** Of the advertised keys, those that may verify and that we can use: the trust for the server's next advertisement. */
  readonly signingKeys: readonly PublicJwk[];
  /** RFC 7518 section 4.6.1.2; clevis writes none. */
  readonly partyU: Buffer;
  readonly partyV: Buffer;
}

export interface SssPin {
  readonly pin: "sss";
  readonly threshold: number;
  /** p, big-endian, without leading zero; a share is two integers of its length. */
  readonly prime: Buffer;
  readonly children: readonly FlattenedJwe[];
}

/** A pin that this module does not take apart: tpm2, pkcs11, yubikey, … */
export interface OtherPin {
  readonly pin: "other";
  readonly name: string;
}

/** The header that `clevis encrypt tang` writes, member for member. @param binding.keys the advertisement's, as they were written */
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
const CHILD_COUNT = 64;
const PRIME_BYTES = 64;

/**
 * Reads a clevis JWE's protected header.
 * @throws NightlatchError clevis/malformed, jwe/malformed, jwe/unsupported, jwk/* (the ephemeral key), tang/malformed
 */
export function parseClevisPin(jwe: FlattenedJwe): ClevisPin {
  const header = parseJweHeader(jwe, "the binding");
  const clevis = header["clevis"];
  if (!isJsonObject(clevis)) malformed("the binding's header has no member clevis");
  const name = clevis["pin"];
  if (typeof name !== "string" || !/^[a-z0-9-]{1,32}$/.test(name)) malformed("the binding's header names no pin");
  if (name !== "tang" && name !== "sss") return { pin: "other", name };
  const configuration = clevis[name];
  if (!isJsonObject(configuration)) malformed(`the binding's header has no configuration of its pin ${name}`);
  return name === "tang" ? parseTang(header, configuration) : parseSss(header, configuration);
}

function parseTang(header: JsonObject, configuration: JsonObject): TangPin {
  requireAlgorithm(header, "ECDH-ES");
  const { kid } = header;
  if (typeof kid !== "string" || kid.length > 128) malformed("the binding names no key of the server");
  const keys = parseKeySet(configuration["adv"] ?? null);
  const ephemeral = parseEcPublicJwk(header["epk"] ?? null, "the binding's ephemeral key");
  const exchangeKey = keys.map(usable).find((jwk) => jwk !== null && hasThumbprint(jwk, kid));
  if (exchangeKey?.kty !== "EC" || exchangeKey.crv !== ephemeral.crv) {
    malformed("the binding holds no exchange key of the name and the curve that it gives");
  }
  const signingKeys = keys
    .filter((key) => permits(key, "verify", true))
    .map(usable)
    .filter((jwk) => jwk !== null);
  return {
    pin: "tang",
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
  if (typeof json !== "string" || json.length > URL_LENGTH || !/^[!-~]+$/.test(json)) {
    malformed("the binding holds no usable address of a server");
  }
  const url = json.includes("://") ? json : `http://${json}`;
  if (!URL.canParse(url) || !/^https?:\/\//i.test(url)) malformed("the binding's server is not at an http address");
  const { username, password, hostname } = new URL(url);
  if (username !== "" || password !== "") throw withCredentials();
  if (hostname.length > HOST_LENGTH) malformed("the binding's server has a name that no host has");
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

function parseSss(header: JsonObject, configuration: JsonObject): SssPin {
  requireAlgorithm(header, "dir");
  const { t: threshold, p, jwe: children } = configuration;
  if (typeof p !== "string") malformed("the binding's shares have no prime");
  const prime = decode(p, "the prime of the binding's shares");
  const lastByte = prime.at(-1) ?? 0;
  if (prime.length > PRIME_BYTES || prime[0] === 0 || lastByte % 2 === 0) {
    malformed("the binding's shares have no usable prime");
  }
  if (!Array.isArray(children) || children.length > CHILD_COUNT) {
    malformed(`the binding's shares are not a list of at most ${CHILD_COUNT}`);
  }
  if (typeof threshold !== "number" || !Number.isInteger(threshold) || threshold < 1 || threshold > children.length) {
    malformed("the binding's threshold does not fit the number of its shares");
  }
  return {
    pin: "sss",
    threshold,
    prime,
    children: children.map((child) => {
      if (typeof child !== "string") malformed("a share of the binding is not a JWE");
      return parseCompactJwe(child, "a share of the binding");
    }),
  };
}

function requireAlgorithm(header: JsonObject, algorithm: string): void {
  if (header["alg"] !== algorithm) {
    throw new NightlatchError("jwe/unsupported", `the binding's key is not given by ${algorithm}`);
  }
}

/** null: a key that we cannot use; a tang may list such beside the one that matters, which must not lock the volume. */
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
  if (typeof value !== "string" || value.length > 1024) malformed(`the binding's ${member} is not usable`);
  return decode(value, `the binding's ${member}`);
}

function decode(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) malformed(`${what} is not base64url`);
  return bytes;
}

function malformed(message: string): never {
  throw new NightlatchError("clevis/malformed", message);
}
