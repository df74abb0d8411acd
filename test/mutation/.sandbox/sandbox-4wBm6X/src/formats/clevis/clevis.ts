// @ts-nocheck
import { decodeBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { type FlattenedJwe, parseFlattenedJwe, parseJweHeader } from "../jose/jwe.ts";
import { isJsonObject, type Json, type JsonObject } from "../json/json.ts";
import { isList, isTextLike } from "../json/narrow.ts";

/** A LUKS2 token of type `clevis`: docs/format/clevis.md. */
interface ClevisToken {
  readonly keyslots: readonly number[];
  readonly jwe: FlattenedJwe;
}

/** LUKS2 has 32 keyslots. */
const KEYSLOT_COUNT = 32;

/**
 * Reads a token of a LUKS2 header; null where its type is not `clevis`. Members that are not known
 * are ignored.
 * @throws NightlatchError clevis/malformed, jwe/malformed, jwe/unsupported
 */
export function parseClevisToken(token: Json): ClevisToken | null {
  if (!isJsonObject(token) || token["type"] !== "clevis") return null;
  const { keyslots, jwe } = token;
  if (!isList(keyslots, KEYSLOT_COUNT)) {
    malformedBinding(`the token's keyslots are not a list of at most ${KEYSLOT_COUNT}`);
  }
  const slots = keyslots.map((slot) => {
    if (!isTextLike(slot, /^(?:0|[1-9]\d?)$/) || Number(slot) >= KEYSLOT_COUNT) {
      malformedBinding("the token names something that is not a keyslot");
    }
    return Number(slot);
  });
  if (new Set(slots).size !== slots.length) malformedBinding("the token names a keyslot twice");
  return { keyslots: slots, jwe: parseFlattenedJwe(jwe ?? null, "the token's JWE") };
}

/**
 * How a clevis JWE is opened, as its protected header says. What the pin itself wants is not read
 * yet: a file beside this one does, for each pin.
 */
export interface ClevisPin {
  /** `tang`, `sss`, `tpm2`, … */
  readonly name: string;
  readonly header: JsonObject;
  /** The header's member of the pin's name. */
  readonly configuration: Json | undefined;
}

/**
 * Reads a clevis JWE's protected header, as far as all pins have it.
 * @throws NightlatchError clevis/malformed, jwe/malformed, jwe/unsupported
 */
export function parseClevisPin(jwe: FlattenedJwe): ClevisPin {
  const header = parseJweHeader(jwe, "the binding");
  const clevis = header["clevis"];
  if (!isJsonObject(clevis)) malformedBinding("the binding's header has no member clevis");
  const name = clevis["pin"];
  if (!isTextLike(name, /^[a-z0-9-]{1,32}$/)) malformedBinding("the binding's header names no pin");
  return { name, header, configuration: clevis[name] };
}

/**
 * Gives what a pin is configured with.
 * @throws NightlatchError clevis/malformed where that is no object
 */
export function configurationOf({ name, configuration }: ClevisPin): JsonObject {
  if (!isJsonObject(configuration)) malformedBinding(`the binding's header has no configuration of its pin ${name}`);
  return configuration;
}

/**
 * Holds the header to the one way in which its pin gives the content key.
 * @throws NightlatchError jwe/unsupported
 */
export function requireAlgorithm({ header }: ClevisPin, algorithm: string): void {
  if (header["alg"] !== algorithm) {
    throw new NightlatchError("jwe/unsupported", `the binding's key is not given by ${algorithm}`);
  }
}

/**
 * Gives the bytes of a member of the header.
 * @throws NightlatchError clevis/malformed where it is not base64url
 */
export function decodeMember(text: string, what: string): Buffer {
  return decodeBase64url(text) ?? malformedBinding(`${what} is not base64url`);
}

/**
 * Refuses a binding.
 * @throws NightlatchError clevis/malformed
 */
export function malformedBinding(message: string): never {
  throw new NightlatchError("clevis/malformed", message, {
    meaning: "The token in the volume's header is damaged, or another program wrote it.",
    remedy: "Unlock the volume with its passphrase and bind it anew.",
  });
}
