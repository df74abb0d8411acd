// @ts-nocheck
import { type KeyObject, sign, verify } from "node:crypto";
import { decodeBase64url, toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { isList } from "../json/narrow.ts";
import { importPublicKey, type PublicJwk } from "./jwk.ts";

/** JSON Web Signature, RFC 7515, in its JSON serialisations (section 7.2). */
export interface Jws {
  /** As signed: base64url text. */
  readonly payload: string;
  readonly signatures: readonly [JwsSignature, ...JwsSignature[]];
}

interface JwsSignature {
  /** As signed: base64url text. */
  readonly protected: string;
  readonly signature: string;
  /** What `protected` says; `crit` is refused, for we understand no extension. */
  readonly header: JsonObject;
  readonly algorithm: JwsAlgorithm;
}

const ALGORITHMS = {
  ES256: { hash: "sha256", curve: "P-256", lengthBytes: 64 },
  ES384: { hash: "sha384", curve: "P-384", lengthBytes: 96 },
  ES512: { hash: "sha512", curve: "P-521", lengthBytes: 132 },
  EdDSA: { hash: null, curve: "Ed25519", lengthBytes: 64 },
} as const;
/** RFC 7518 section 3.4, RFC 8037 section 3.1. */
type JwsAlgorithm = keyof typeof ALGORITHMS;

const CURVE_OF_OPENSSL: Readonly<Record<string, JwsAlgorithm>> = {
  prime256v1: "ES256",
  secp384r1: "ES384",
  secp521r1: "ES512",
};

/**
 * A signature costs up to a millisecond to verify: this bounds what a hostile document can cost.
 */
const SIGNATURE_COUNT = 32;
const HEADER_BYTES = 4096;

/**
 * Reads a flattened or general JWS. Nothing is verified yet. Unprotected headers are ignored.
 * @throws NightlatchError jws/malformed, jws/unsupported (algorithm, `crit`, unencoded payload)
 */
export function parseJws(json: Json, what = "the signed document"): Jws {
  if (!isJsonObject(json)) malformed(`${what} is not a JSON object`);
  const source = json;
  const payload = textOf(source, "payload", what);
  decode(payload, `payload of ${what}`);
  if (!("signatures" in source)) return { payload, signatures: [parseSignature(source, what)] };
  if ("signature" in source || "protected" in source || "header" in source) {
    malformed(`${what} mixes the flattened and the general form`);
  }
  const list = source["signatures"];
  if (!isList(list, SIGNATURE_COUNT)) {
    malformed(`${what} has no list of at most ${SIGNATURE_COUNT} signatures`);
  }
  const [first, ...others] = list.map((entry) => parseSignature(entry, what));
  if (first === undefined) malformed(`${what} has no signature`);
  return { payload, signatures: [first, ...others] };
}

/** Writes a JWS as tang does: flattened with one signature, general with several. */
export function formatJws(jws: Jws): JsonObject {
  const [first, ...others] = jws.signatures;
  if (others.length === 0) return { payload: jws.payload, protected: first.protected, signature: first.signature };
  return formatGeneralJws(jws);
}

/** Writes a JWS in its general form, however many signatures there are. */
export function formatGeneralJws({ payload, signatures }: Pick<Jws, "payload" | "signatures">): JsonObject {
  return { payload, signatures: signatures.map((one) => ({ protected: one.protected, signature: one.signature })) };
}

interface JwsSigner {
  /** A private key on P-256, P-384, P-521 or Ed25519; the algorithm follows from it. */
  readonly key: KeyObject;
  /** Protected header members beside `alg`, which comes first. */
  readonly header?: JsonObject;
}

/**
 * Signs a payload with each key, in their order.
 * @throws NightlatchError jws/unsupported for a key of another kind
 */
export function signJws(payload: Uint8Array, signers: readonly [JwsSigner, ...JwsSigner[]]): Jws {
  const text = toBase64url(payload);
  const [first, ...others] = signers;
  const signOne = (signer: JwsSigner) => signText(text, signer);
  return { payload: text, signatures: [signOne(first), ...others.map(signOne)] };
}

/**
 * Tells whether this one signature over the JWS's payload was made by the private half of `jwk`.
 */
export function isSignedBy(jws: Jws, signature: JwsSignature, jwk: PublicJwk): boolean {
  const algorithm = ALGORITHMS[signature.algorithm];
  if (algorithm.curve !== jwk.crv) return false;
  const bytes = Buffer.from(signature.signature, "base64url");
  if (bytes.length !== algorithm.lengthBytes) return false;
  const signed = Buffer.from(`${signature.protected}.${jws.payload}`, "ascii");
  return verify(algorithm.hash, signed, { key: importPublicKey(jwk), dsaEncoding: "ieee-p1363" }, bytes);
}

/** Tells whether any of the signatures was made by the private half of `jwk`. */
export function hasSignatureBy(jws: Jws, jwk: PublicJwk): boolean {
  return jws.signatures.some((signature) => isSignedBy(jws, signature, jwk));
}

/** Gives the payload's bytes. They mean something once the signatures that matter were verified. */
export function payloadOf(jws: Jws): Buffer {
  return Buffer.from(jws.payload, "base64url");
}

/**
 * The algorithm that a private or public key signs with.
 * @throws NightlatchError jws/unsupported
 */
function algorithmOf(key: KeyObject): JwsAlgorithm {
  if (key.asymmetricKeyType === "ed25519") return "EdDSA";
  const algorithm = CURVE_OF_OPENSSL[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (key.asymmetricKeyType !== "ec" || algorithm === undefined) {
    throw new NightlatchError("jws/unsupported", "the signing key is neither on a NIST curve nor an Ed25519 key");
  }
  return algorithm;
}

function signText(payload: string, signer: JwsSigner): JwsSignature {
  const algorithm = algorithmOf(signer.key);
  const header: JsonObject = { alg: algorithm, ...signer.header };
  const encoded = toBase64url(Buffer.from(JSON.stringify(header)));
  const signed = Buffer.from(`${encoded}.${payload}`, "ascii");
  const bytes = sign(ALGORITHMS[algorithm].hash, signed, { key: signer.key, dsaEncoding: "ieee-p1363" });
  return { protected: encoded, signature: toBase64url(bytes), header, algorithm };
}

function parseSignature(json: Json, what: string): JwsSignature {
  if (!isJsonObject(json)) malformed(`a signature of ${what} is no object`);
  const source = json;
  const encoded = textOf(source, "protected", what);
  const signature = textOf(source, "signature", what);
  decode(signature, `signature of ${what}`);
  const header = parseHeader(decode(encoded, `protected header of ${what}`), what);
  const algorithm = header["alg"];
  if (typeof algorithm !== "string" || !Object.hasOwn(ALGORITHMS, algorithm)) {
    throw new NightlatchError(
      "jws/unsupported",
      `${what} is signed with none of ${Object.keys(ALGORITHMS).join(", ")}`,
    );
  }
  return { protected: encoded, signature, header, algorithm: algorithm as JwsAlgorithm };
}

function parseHeader(bytes: Buffer, what: string): JsonObject {
  const header = parseJson(bytes, `the protected header of ${what}`, { lengthBytes: HEADER_BYTES });
  if (!isJsonObject(header)) {
    malformed(`the protected header of ${what} is not a JSON object`);
  }
  // RFC 7515 section 4.1.11: what is named here must be understood; RFC 7797's b64 is meaningful
  // only when named here.
  if ("crit" in header) {
    throw new NightlatchError("jws/unsupported", `${what} depends on an extension of JWS that is not known`);
  }
  return header;
}

function textOf(source: JsonObject, member: string, what: string): string {
  const value = Object.hasOwn(source, member) ? source[member] : undefined;
  if (typeof value !== "string" || value.length === 0) malformed(`${what} has no usable member ${member}`);
  return value;
}

function decode(text: string, what: string): Buffer {
  return decodeBase64url(text) ?? malformed(`${what} is not base64url`);
}

function malformed(message: string): never {
  throw new NightlatchError("jws/malformed", message);
}
