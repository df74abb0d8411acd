// @ts-nocheck
import { createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";
import { HASH_BYTES } from "./merkle.ts";

/**
 * A checkpoint: the tree's size and root, signed by the server's identity, as a C2SP signed note
 * (c2sp.org/signed-note, c2sp.org/tlog-checkpoint; Ed25519 is algorithm 0x01).
 */
export interface Checkpoint {
  /** The log's name, which is the key's name too. */
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}

/** A checkpoint and the signature of the server's identity. */
export interface SignedCheckpoint extends Checkpoint {
  /** 64 bytes over `checkpointText`. */
  readonly signature: Buffer;
}

/** The signature types of a key that are known: a plain one, and a cosignature. */
type NoteAlgorithm = typeof ED25519 | typeof COSIGNATURE;

const ED25519 = 0x01;
/** Ed25519 with a time: c2sp.org/tlog-cosignature. */
export const COSIGNATURE = 0x04;
/** A key's id, as a signature begins with it. */
export const KEY_ID_BYTES = 4;
const SIGNATURE_BYTES = 64;
/** No note that is read has more. */
export const NOTE_BYTES = 4096;

/** The name of a store's log. */
export function originOf(storeId: string): string {
  return `nightlatch/${storeId}`;
}

/** The text that is signed, its final newline included. */
export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${root.toString("base64")}\n`;
}

/** Signs a checkpoint with the server's identity. */
export function signCheckpoint(checkpoint: Checkpoint, key: KeyObject): SignedCheckpoint {
  return { ...checkpoint, signature: sign(null, Buffer.from(checkpointText(checkpoint)), key) };
}

/** Whether the checkpoint is signed by this key. */
export function isSignedCheckpoint(checkpoint: SignedCheckpoint, publicKey: KeyObject): boolean {
  return verify(null, Buffer.from(checkpointText(checkpoint)), publicKey, checkpoint.signature);
}

/** The whole note of a checkpoint, as a witness takes it. */
export function formatNote(checkpoint: SignedCheckpoint, publicKey: KeyObject): string {
  const blob = Buffer.concat([keyId(checkpoint.origin, publicKey), checkpoint.signature]);
  return `${checkpointText(checkpoint)}\n— ${checkpoint.origin} ${blob.toString("base64")}\n`;
}

/**
 * The verifier key in the notation of signed notes: `name+keyid+base64(algorithm || key)`.
 * @param algorithm of the signatures that it verifies; a log's where it is absent
 */
export function formatVerifier(origin: string, publicKey: KeyObject, algorithm: NoteAlgorithm = ED25519): string {
  const key = Buffer.concat([Buffer.of(algorithm), rawKey(publicKey)]);
  return `${origin}+${keyId(origin, publicKey, algorithm).toString("hex")}+${key.toString("base64")}`;
}

const VERIFIER = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/;

/** A key and the name that its signatures are made under. */
export interface Verifier {
  /** A log's origin, or a witness's name. */
  readonly origin: string;
  readonly publicKey: KeyObject;
}

/**
 * Reads a verifier key; null where the text is none of this algorithm, or its id is not that of its
 * name and key.
 */
export function parseVerifier(text: string, algorithm: NoteAlgorithm = ED25519): Verifier | null {
  const [, origin, id, key] = VERIFIER.exec(text) ?? [];
  if (origin === undefined || id === undefined || key === undefined) return null;
  const bytes = Buffer.from(key, "base64");
  if (bytes.length !== 1 + RAW_KEY_BYTES || bytes[0] !== algorithm) return null;
  const publicKey = importRawKey(bytes.subarray(1));
  return keyId(origin, publicKey, algorithm).toString("hex") === id ? { origin, publicKey } : null;
}

const NOTE = /^([^\s+]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n\n((?:— [^\s+]+ [A-Za-z0-9+/]+={0,2}\n){1,16})$/;

/**
 * Reads a note and finds the signature that claims to be by this key. Signatures of others are
 * passed over, because witnesses add theirs. The signature itself is not judged here.
 * @returns null where the text is no checkpoint, or has no line of this key
 */
export function parseNote(text: string, publicKey: KeyObject): SignedCheckpoint | null {
  if (Buffer.byteLength(text) > NOTE_BYTES) return null;
  const [, origin, size, root, lines] = NOTE.exec(text) ?? [];
  if (origin === undefined || size === undefined || root === undefined || lines === undefined) return null;
  const prefix = `— ${origin} `;
  const id = keyId(origin, publicKey);
  for (const line of lines.trimEnd().split("\n")) {
    if (!line.startsWith(prefix)) continue;
    const blob = Buffer.from(line.slice(prefix.length), "base64");
    if (blob.length !== KEY_ID_BYTES + SIGNATURE_BYTES || !blob.subarray(0, KEY_ID_BYTES).equals(id)) continue;
    const rootBytes = Buffer.from(root, "base64");
    if (rootBytes.length !== HASH_BYTES || rootBytes.toString("base64") !== root) return null;
    return { origin, size: Number(size), root: rootBytes, signature: blob.subarray(KEY_ID_BYTES) };
  }
  return null;
}

/** SHA-256(name || 0x0A || algorithm || public key), its first four bytes. */
export function keyId(origin: string, publicKey: KeyObject, algorithm: NoteAlgorithm = ED25519): Buffer {
  const signed = Buffer.concat([Buffer.from(`${origin}\n`), Buffer.of(algorithm), rawKey(publicKey)]);
  return hash("sha256", signed, "buffer").subarray(0, KEY_ID_BYTES);
}

/** The length of an Ed25519 key. */
const RAW_KEY_BYTES = 32;

/** Takes an Ed25519 key of its 32 bytes. */
export function importRawKey(bytes: Buffer): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") }, format: "jwk" });
}

/** The 32 bytes of an Ed25519 key. */
export function rawKey(publicKey: KeyObject): Buffer {
  return Buffer.from(String(publicKey.export({ format: "jwk" }).x), "base64url");
}
