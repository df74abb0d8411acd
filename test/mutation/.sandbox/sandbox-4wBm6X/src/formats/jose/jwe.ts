// @ts-nocheck
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { decodeBase64url, toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";

/**
 * JSON Web Encryption, RFC 7516, as clevis uses it: one recipient, A256GCM, the content key given
 * by ECDH-ES (RFC 7518 section 4.6) or directly (4.5). Every member is base64url text, as on the
 * wire; `protected` is authenticated byte for byte.
 */
export interface FlattenedJwe {
  readonly protected: string;
  /** Empty with both ways of giving the key. */
  readonly encrypted_key: string;
  readonly iv: string;
  readonly ciphertext: string;
  readonly tag: string;
}

/** Nested sss bindings hold whole JWEs in their header, in base64url, level upon level. */
const JWE_BYTES = 1 << 20;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const MEMBERS = ["protected", "encrypted_key", "iv", "ciphertext", "tag"] as const;

/**
 * Reads a flattened JWE (RFC 7516 section 7.2.2). Members that change what the JWE means (`aad`,
 * unprotected headers) are refused, others ignored.
 * @throws NightlatchError jwe/malformed, jwe/unsupported
 */
export function parseFlattenedJwe(json: Json, what = "the JWE"): FlattenedJwe {
  if (!isJsonObject(json)) malformed(`${what} is not a JSON object`);
  const source = json;
  for (const member of ["aad", "header", "unprotected", "recipients"]) {
    if (Object.hasOwn(source, member)) {
      throw new NightlatchError("jwe/unsupported", `${what} has the member ${member}, which is not supported`);
    }
  }
  const textOf = (member: (typeof MEMBERS)[number]): string => {
    const value = Object.hasOwn(source, member) ? source[member] : member === "encrypted_key" ? "" : undefined;
    if (typeof value !== "string") malformed(`${what} has no usable member ${member}`);
    return value;
  };
  return checked(
    {
      protected: textOf("protected"),
      encrypted_key: textOf("encrypted_key"),
      iv: textOf("iv"),
      ciphertext: textOf("ciphertext"),
      tag: textOf("tag"),
    },
    what,
  );
}

/**
 * Reads a compact JWE (RFC 7516 section 7.1). A line end after it is dropped.
 * @throws NightlatchError jwe/malformed
 */
export function parseCompactJwe(text: string, what = "the JWE"): FlattenedJwe {
  if (text.length > JWE_BYTES) malformed(`${what} is larger than ${JWE_BYTES} bytes`);
  const parts = text.trimEnd().split(".", 6);
  const [header, encryptedKey, iv, ciphertext, tag, ...rest] = parts;
  if (
    header === undefined ||
    encryptedKey === undefined ||
    iv === undefined ||
    ciphertext === undefined ||
    tag === undefined ||
    rest.length > 0
  ) {
    malformed(`${what} does not consist of five parts`);
  }
  return checked({ protected: header, encrypted_key: encryptedKey, iv, ciphertext, tag }, what);
}

/** Writes a JWE in its compact form. */
export function formatCompactJwe(jwe: FlattenedJwe): string {
  return [jwe.protected, jwe.encrypted_key, jwe.iv, jwe.ciphertext, jwe.tag].join(".");
}

/** Writes a JWE as libjose prints it, with its members in alphabetical order. */
export function formatFlattenedJwe(jwe: FlattenedJwe): JsonObject {
  const { ciphertext, encrypted_key, iv, protected: header, tag } = jwe;
  return { ciphertext, encrypted_key, iv, protected: header, tag };
}

/**
 * Reads the protected header. Members that are not known are kept, for clevis of various versions
 * writes some. What must be understood is refused: `crit` (RFC 7516 section 4.1.13), `zip`, another
 * content encryption than A256GCM.
 * @throws NightlatchError jwe/malformed, jwe/unsupported
 */
export function parseJweHeader(jwe: FlattenedJwe, what = "the JWE"): JsonObject {
  let header: Json;
  try {
    header = parseJson(Buffer.from(jwe.protected, "base64url"), `the header of ${what}`, { lengthBytes: JWE_BYTES });
  } catch (error) {
    throw new NightlatchError("jwe/malformed", `the header of ${what} is not usable JSON`, { cause: error });
  }
  if (!isJsonObject(header)) {
    malformed(`the header of ${what} is not a JSON object`);
  }
  const source = header;
  for (const member of ["crit", "zip"]) {
    if (member in source)
      throw new NightlatchError("jwe/unsupported", `${what} needs ${member}, which is not supported`);
  }
  if (source["enc"] !== "A256GCM") {
    throw new NightlatchError("jwe/unsupported", `${what} is not encrypted with A256GCM`);
  }
  return source;
}

/**
 * Encrypts with A256GCM.
 * @param key 32 bytes
 * @param iv 12 bytes that were never used with this key
 */
export function encryptJwe(header: JsonObject, key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): FlattenedJwe {
  const encoded = toBase64url(Buffer.from(JSON.stringify(header)));
  const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(encoded, "ascii"));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return {
    protected: encoded,
    encrypted_key: "",
    iv: toBase64url(iv),
    ciphertext: toBase64url(ciphertext),
    tag: toBase64url(cipher.getAuthTag()),
  };
}

/**
 * Gives the plaintext, whole and authentic, or nothing. The caller wipes it.
 * @throws NightlatchError jwe/wrong-key, jwe/unsupported (an encrypted key)
 */
export function decryptJwe(jwe: FlattenedJwe, key: Uint8Array, what = "the JWE"): Secret {
  if (jwe.encrypted_key !== "") {
    throw new NightlatchError("jwe/unsupported", `${what} holds an encrypted key, which is not supported`);
  }
  const ciphertext = Buffer.from(jwe.ciphertext, "base64url");
  if (key.byteLength !== KEY_BYTES) throw new NightlatchError("jwe/wrong-key", `${what} needs a key of 32 bytes`);
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(jwe.iv, "base64url"), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(jwe.protected, "ascii"));
  decipher.setAuthTag(Buffer.from(jwe.tag, "base64url"));
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw new NightlatchError("jwe/wrong-key", `${what} does not open: the key is another one, or it was changed`);
  }
  return Secret.take(plaintext);
}

/** RFC 7518 section 4.6.2; `partyU` and `partyV` are apu and apv. */
interface KdfContext {
  /** `enc` for a key that is used directly. */
  readonly algorithm: string;
  readonly lengthBytes: number;
  readonly partyU?: Uint8Array;
  readonly partyV?: Uint8Array;
}

/**
 * Derives a key by NIST SP 800-56A section 5.8.2.1 (one step) with SHA-256, as ECDH-ES wants it.
 * @param shared the secret Z, which stays the caller's to wipe
 */
export function concatKdf(shared: Uint8Array, context: KdfContext): Secret {
  const lengthBits = Buffer.alloc(4);
  lengthBits.writeUInt32BE(context.lengthBytes * 8);
  const info = [
    ...withLength(Buffer.from(context.algorithm, "ascii")),
    ...withLength(context.partyU ?? Buffer.alloc(0)),
    ...withLength(context.partyV ?? Buffer.alloc(0)),
    lengthBits,
  ];
  const derived = Buffer.alloc(context.lengthBytes);
  const counter = Buffer.alloc(4);
  for (let offset = 0, round = 1; offset < derived.length; offset += 32, round++) {
    counter.writeUInt32BE(round);
    const hash = createHash("sha256").update(counter).update(shared);
    for (const part of info) hash.update(part);
    const block = hash.digest();
    block.copy(derived, offset);
    block.fill(0);
  }
  return Secret.take(derived);
}

function withLength(bytes: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.byteLength);
  return [length, bytes];
}

function checked(jwe: FlattenedJwe, what: string): FlattenedJwe {
  const lengths = MEMBERS.map((member) => {
    if (jwe[member].length > JWE_BYTES) malformed(`${what} is larger than ${JWE_BYTES} bytes`);
    return decodeBase64url(jwe[member])?.length ?? malformed(`${member} of ${what} is not base64url`);
  });
  const [headerBytes, , ivBytes, , tagBytes] = lengths;
  if (headerBytes === 0) malformed(`${what} has no protected header`);
  if (ivBytes !== IV_BYTES || tagBytes !== TAG_BYTES) malformed(`${what} has no IV and tag of A256GCM`);
  return jwe;
}

function malformed(message: string): never {
  throw new NightlatchError("jwe/malformed", message);
}
