import { createHash, createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { exportPublicJwk, type OkpPublicJwk, parsePublicJwk, thumbprintOf } from "../jose/jwk.ts";
import { formatJws, isSignedBy, parseJws, payloadOf, signJws } from "../jose/jws.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { hasExactly, isBase64urlOf } from "../json/narrow.ts";
import { type Advertisement, parseAdvertisement } from "../tang/tang.ts";

/** The content type of the messages of docs/format/enrolment.md, both directions. */
export const ENROLMENT_TYPE = "application/jose+json";
/** A message has at most this. */
export const ENROLMENT_BYTES = 16_384;
/** The length of a request's nonce. */
export const NONCE_BYTES = 16;
/** The length of a latch's id. */
export const LATCH_ID_BYTES = 16;

type MessageType =
  | "nightlatch-enroll"
  | "nightlatch-enrolled"
  | "nightlatch-latch"
  | "nightlatch-lease"
  | "nightlatch-leased"
  | "nightlatch-receipt"
  | "nightlatch-receipted"
  | "nightlatch-report"
  | "nightlatch-reported"
  | "nightlatch-rotation"
  | "nightlatch-rotation-answer"
  | "nightlatch-session"
  | "nightlatch-session-opened";

/** What a machine asks for: a latch for one volume. */
interface WantedLatch {
  /** 16 bytes. The same nonce gets the same latch again. */
  readonly nonce: Uint8Array;
  /** The volume's UUID, for the operator's eyes. */
  readonly volume: string;
}

/** Writes `POST {url}/enroll`, signed by the machine's new identity, an Ed25519 private key. */
export function buildEnrolRequest(
  identity: KeyObject,
  invite: { readonly id: string; readonly key: { reveal(): Buffer } },
  wanted: WantedLatch,
): Buffer {
  const machine = identityThumbprint(identity);
  return sealMessage("nightlatch-enroll", identity, {
    invite: invite.id,
    mac: toBase64url(proofOf(invite.key.reveal(), machine)),
    nonce: toBase64url(wanted.nonce),
    volume: wanted.volume,
  });
}

/** Writes `POST {url}/machine/{machine}/latch`, signed by the enrolled identity. */
export function buildLatchRequest(identity: KeyObject, wanted: WantedLatch): Buffer {
  return sealMessage("nightlatch-latch", identity, { nonce: toBase64url(wanted.nonce), volume: wanted.volume });
}

/**
 * A request whose signature was verified: it comes from the holder of `machine`'s identity, whoever
 * that is.
 */
export interface LatchRequest {
  readonly identity: OkpPublicJwk;
  /** The identity's thumbprint. */
  readonly machine: string;
  /** base64url. */
  readonly nonce: string;
  readonly volume: string;
}

/** A latch request with an invite. */
export interface EnrolRequest extends LatchRequest {
  /** The invite's id, base64url. */
  readonly invite: string;
  readonly mac: Buffer;
}

/**
 * Reads an enrolment request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseEnrolRequest(body: Uint8Array): EnrolRequest {
  const { identity, machine, payload } = openMessage("nightlatch-enroll", body, "the enrolment request");
  requireMembers(payload, ["invite", "mac", "nonce", "volume"], "the enrolment request");
  const invite = base64urlOf(payload, "invite", 16);
  const mac = Buffer.from(base64urlOf(payload, "mac", 32), "base64url");
  return { identity, machine, invite, mac, ...parseWanted(payload) };
}

/**
 * Reads a latch request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseLatchRequest(body: Uint8Array): LatchRequest {
  const { identity, machine, payload } = openMessage("nightlatch-latch", body, "the latch request");
  requireMembers(payload, ["nonce", "volume"], "the latch request");
  return { identity, machine, ...parseWanted(payload) };
}

/**
 * Tells, in constant time, whether the sender of the request holds the invite whose key this is.
 */
export function provesInvite(request: EnrolRequest, inviteKey: Uint8Array): boolean {
  return timingSafeEqual(request.mac, proofOf(inviteKey, request.machine));
}

interface EnrolAnswer {
  readonly machine: string;
  readonly name: string;
  /** 16 bytes, base64url. */
  readonly latch: string;
}

/**
 * Writes the answer to both requests, signed by the server's identity.
 * @param request the body as it was received
 */
export function buildEnrolAnswer(
  identity: KeyObject,
  request: Uint8Array,
  answer: EnrolAnswer & { readonly advertisement: JsonObject },
): Buffer {
  const { machine, name, latch, advertisement } = answer;
  return sealMessage("nightlatch-enrolled", identity, {
    request: digestOf(request),
    machine,
    name,
    latch,
    adv: advertisement,
  });
}

/**
 * Reads the answer and verifies all of it: that the server is the one whose thumbprint the invite
 * named, that it answers this very request of this machine, and that the advertisement is whole.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted
 */
export function parseEnrolAnswer(
  body: Uint8Array,
  expected: { readonly request: Uint8Array; readonly machine: string; readonly serverThumbprint: string },
): EnrolAnswer & { readonly advertisement: Advertisement } {
  const what = "the server's answer";
  const { machine: server, payload } = openMessage("nightlatch-enrolled", body, what);
  if (server !== expected.serverThumbprint) {
    untrusted(`the answer is signed by ${server}, the invite names ${expected.serverThumbprint}`);
  }
  requireMembers(payload, ["adv", "latch", "machine", "name", "request"], what);
  if (payload["request"] !== digestOf(expected.request)) untrusted("the answer belongs to another request");
  if (payload["machine"] !== expected.machine) untrusted("the answer is meant for another machine");
  const { name, adv } = payload;
  if (typeof name !== "string" || !isMachineName(name)) malformedMessage(`${what} holds no usable name`);
  return {
    machine: expected.machine,
    name,
    latch: base64urlOf(payload, "latch", LATCH_ID_BYTES),
    advertisement: within(what, () => parseAdvertisement(adv ?? null)),
  };
}

/** The S256 thumbprint of an identity (RFC 7638). A machine's id is the thumbprint of its own. */
export function identityThumbprint(identity: KeyObject): string {
  return thumbprintOf(exportPublicJwk(identity));
}

/** Tells whether a name is safe in a shell, a path and a log. */
export function isMachineName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
}

/** Tells whether a volume's UUID can be part of a path and of a log. */
export function isVolumeId(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(text);
}

function proofOf(inviteKey: Uint8Array, machine: string): Buffer {
  return createHmac("sha256", inviteKey)
    .update("nightlatch-enroll\0", "latin1")
    .update(Buffer.from(machine, "base64url"))
    .digest();
}

/** Names a message by what it holds: base64url of its SHA-256. */
export function digestOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("base64url");
}

/** Writes a message of one of our types, signed by its sender's identity. */
export function sealMessage(type: MessageType, identity: KeyObject, payload: JsonObject): Buffer {
  const { kty, crv, x } = ed25519(exportPublicJwk(identity));
  const header = { typ: type, jwk: { kty, crv, x } };
  return Buffer.from(
    JSON.stringify(formatJws(signJws(Buffer.from(JSON.stringify(payload)), [{ key: identity, header }]))),
  );
}

interface OpenedMessage {
  readonly identity: OkpPublicJwk;
  readonly machine: string;
  readonly payload: JsonObject;
}

/**
 * Reads a message, checks its header to the letter, and verifies the signature by the key that the
 * header holds.
 * @throws NightlatchError enrolment/malformed
 */
export function openMessage(type: MessageType, body: Uint8Array, what: string): OpenedMessage {
  return within(what, () => {
    const json = parseJson(body, what, { lengthBytes: ENROLMENT_BYTES });
    if (!isJsonObject(json)) malformedMessage(`${what} is not a JSON object`);
    requireMembers(json, ["payload", "protected", "signature"], what);
    const jws = parseJws(json, what);
    const [signature] = jws.signatures;
    const { header } = signature;
    requireMembers(header, ["alg", "jwk", "typ"], `the header of ${what}`);
    if (signature.algorithm !== "EdDSA" || header["typ"] !== type) malformedMessage(`${what} is not of type ${type}`);
    const jwk = header["jwk"] ?? null;
    requireMembers(jwk, ["crv", "kty", "x"], `the key of ${what}`);
    const identity = ed25519(parsePublicJwk(jwk, `the key of ${what}`));
    if (!isSignedBy(jws, signature, identity)) malformedMessage(`the signature of ${what} is wrong`);
    const payload = parseJson(payloadOf(jws), what, { lengthBytes: ENROLMENT_BYTES });
    if (!isJsonObject(payload)) malformedMessage(`the payload of ${what} is not an object`);
    return { identity, machine: thumbprintOf(identity), payload };
  });
}

function parseWanted(payload: JsonObject): { nonce: string; volume: string } {
  const volume = payload["volume"];
  if (typeof volume !== "string" || !isVolumeId(volume)) malformedMessage("the request names no usable volume");
  return { nonce: base64urlOf(payload, "nonce", NONCE_BYTES), volume };
}

/**
 * Gives a member that is base64url of so many bytes.
 * @throws NightlatchError enrolment/malformed
 */
export function base64urlOf(payload: JsonObject, member: string, lengthBytes: number): string {
  const value = payload[member];
  return isBase64urlOf(value, lengthBytes)
    ? value
    : malformedMessage(`${member} is not base64url of ${lengthBytes} bytes`);
}

/**
 * Refuses what is not an object with exactly these members.
 * @throws NightlatchError enrolment/malformed
 */
export function requireMembers(json: Json, members: readonly string[], what: string): asserts json is JsonObject {
  if (!hasExactly(json, members)) malformedMessage(`${what} must have exactly the members ${members.join(", ")}`);
}

function ed25519(jwk: { readonly kty: string }): OkpPublicJwk {
  if (jwk.kty !== "OKP") malformedMessage("an identity must be an Ed25519 key");
  return jwk as OkpPublicJwk;
}

/** Gives everything that is wrong with a message one code. */
function within<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NightlatchError) || error.code.startsWith("enrolment/")) throw error;
    return malformedMessage(`${what}: ${error.message}`);
  }
}

/**
 * Refuses a message.
 * @throws NightlatchError enrolment/malformed
 */
export function malformedMessage(message: string): never {
  throw new NightlatchError("enrolment/malformed", message);
}

function untrusted(message: string): never {
  throw new NightlatchError("enrolment/untrusted", message, {
    meaning: "Somebody answers in the server's place. Nothing was bound.",
    remedy: "Make a new invite at the server and check the address in between.",
  });
}
