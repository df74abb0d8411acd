import { createHash, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { base64urlOf, digestOf, malformedMessage, openMessage, requireMembers, sealMessage } from "./enrolment.ts";
import { HEARTBEAT_KEY_BYTES, SESSION_BYTES } from "./heartbeat.ts";
import { CHALLENGE_BYTES } from "./lease.ts";

const X25519_BYTES = 32;
/** What lies before the key in the DER of a public X25519 key (RFC 8410 section 4). */
const SPKI_HEAD = Buffer.from("302a300506032b656e032100", "hex");

/** One side's key for one session, which is dropped once the session's key is known. */
export interface SessionHalf {
  readonly secret: KeyObject;
  /** The public X25519 key, 32 bytes. */
  readonly key: Buffer;
}

/** Makes a key for one session. */
export function makeSessionHalf(): SessionHalf {
  const { privateKey: secret, publicKey } = generateKeyPairSync("x25519");
  const key = publicKey.export({ format: "der", type: "spki" }).subarray(SPKI_HEAD.length);
  return { secret, key };
}

/** A request for a session whose signature was verified: docs/format/heartbeat.md. */
export interface SessionRequest {
  /** The id of the machine whose identity signed it. */
  readonly machine: string;
  readonly challenge: string;
  /** Thumbprint of the server that it is for. */
  readonly server: string;
  /** The machine's public X25519 key. */
  readonly key: Buffer;
}

/** Writes `POST {url}/machine/{machine}/session`, signed by the machine's identity. */
export function buildSessionRequest(
  identity: KeyObject,
  { challenge, server, key }: Omit<SessionRequest, "machine">,
): Buffer {
  return sealMessage("nightlatch-session", identity, { challenge, server, key: toBase64url(key) });
}

/**
 * Reads a request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseSessionRequest(body: Uint8Array): SessionRequest {
  const what = "the request for a session";
  const { machine, payload } = openMessage("nightlatch-session", body, what);
  requireMembers(payload, ["challenge", "key", "server"], what);
  return {
    machine,
    challenge: base64urlOf(payload, "challenge", CHALLENGE_BYTES),
    server: base64urlOf(payload, "server", 32),
    key: Buffer.from(base64urlOf(payload, "key", X25519_BYTES), "base64url"),
  };
}

/**
 * Writes the answer, signed by the server's identity.
 * @param request the body as it was received
 * @param session 8 bytes
 */
export function buildSessionAnswer(
  identity: KeyObject,
  request: Uint8Array,
  { session, key }: { readonly session: Uint8Array; readonly key: Uint8Array },
): Buffer {
  return sealMessage("nightlatch-session-opened", identity, {
    request: digestOf(request),
    key: toBase64url(key),
    session: toBase64url(session),
  });
}

/**
 * Reads the answer, and verifies that this very server gives it to this very request.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted
 */
export function parseSessionAnswer(
  body: Uint8Array,
  expected: { readonly request: Uint8Array; readonly serverThumbprint: string },
): { readonly session: Buffer; readonly key: Buffer } {
  const what = "the server's answer";
  const { machine: server, payload } = openMessage("nightlatch-session-opened", body, what);
  requireMembers(payload, ["key", "request", "session"], what);
  if (server !== expected.serverThumbprint || payload["request"] !== digestOf(expected.request)) {
    throw new NightlatchError("enrolment/untrusted", "somebody else answered in the server's place", {
      remedy: "Check the address in between.",
    });
  }
  return {
    session: Buffer.from(base64urlOf(payload, "session", SESSION_BYTES), "base64url"),
    key: Buffer.from(base64urlOf(payload, "key", X25519_BYTES), "base64url"),
  };
}

/** All that the key of a session follows from, beside one's own half. */
interface SessionTranscript {
  /** The other side's public X25519 key. */
  readonly peer: Uint8Array;
  /** Both bodies, as they were sent. */
  readonly request: Uint8Array;
  readonly answer: Uint8Array;
  /** The machine's id, and the thumbprint of the server's identity. */
  readonly machine: string;
  readonly server: string;
}

/**
 * Gives the key of a session, 32 bytes; both sides come to the same. It is the caller's to wipe.
 * @throws NightlatchError enrolment/malformed where the other side's key is none: one that leads
 *   to the same secret whatever ours is (RFC 7748 section 6.1)
 */
export function sessionKey({ secret }: SessionHalf, transcript: SessionTranscript): Buffer {
  const { peer, request, answer, machine, server } = transcript;
  const shared = agree(secret, peer);
  const salt = Buffer.concat([sha256(request), sha256(answer)]);
  const parties = [Buffer.from(machine, "base64url"), Buffer.from(server, "base64url")];
  const info = Buffer.concat([Buffer.from("nightlatch-session\0"), ...parties]);
  const key = Buffer.from(hkdfSync("sha256", shared, salt, info, HEARTBEAT_KEY_BYTES));
  shared.fill(0);
  return key;
}

function agree(privateKey: KeyObject, peer: Uint8Array): Buffer {
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_HEAD, peer]), format: "der", type: "spki" });
    return diffieHellman({ privateKey, publicKey });
  } catch {
    return malformedMessage("the key of the session is no X25519 key");
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
