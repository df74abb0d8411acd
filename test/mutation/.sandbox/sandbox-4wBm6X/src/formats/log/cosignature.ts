// @ts-nocheck
import { type KeyObject, sign, verify } from "node:crypto";
import { type Checkpoint, COSIGNATURE, checkpointText, KEY_ID_BYTES, keyId, type Verifier } from "./note.ts";

/**
 * What a witness says of a checkpoint: that it had seen the log grow to it, and when
 * (c2sp.org/tlog-cosignature, `cosignature/v1` with Ed25519; docs/format/witness.md).
 */
export interface Cosignature {
  /** Seconds since the epoch, by the witness's clock. */
  readonly seconds: number;
  /** 64 bytes. */
  readonly signature: Buffer;
}

const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
const LINE_BYTES = KEY_ID_BYTES + TIME_BYTES + SIGNATURE_BYTES;

/** Signs a checkpoint with a witness's key. @param seconds since the epoch */
export function cosign(checkpoint: Checkpoint, seconds: number, key: KeyObject): Cosignature {
  return { seconds, signature: sign(null, messageOf(checkpoint, seconds), key) };
}

/** Whether the cosignature is of this checkpoint, by this key. */
export function isCosigned(checkpoint: Checkpoint, { seconds, signature }: Cosignature, publicKey: KeyObject): boolean {
  return verify(null, messageOf(checkpoint, seconds), publicKey, signature);
}

/** The line of a note that a cosignature is, its line feed included. */
export function formatCosignature({ seconds, signature }: Cosignature, { origin, publicKey }: Verifier): string {
  const time = Buffer.alloc(TIME_BYTES);
  time.writeBigUInt64BE(BigInt(seconds));
  const blob = Buffer.concat([keyId(origin, publicKey, COSIGNATURE), time, signature]);
  return `— ${origin} ${blob.toString("base64")}\n`;
}

const LINES = /^(?:— [^\s+]+ [A-Za-z0-9+/]+={0,2}\n){1,16}$/;

/**
 * Finds the first cosignature in lines of signatures that claims to be by this witness; those of
 * others are passed over. The signature itself is not judged here.
 * @param text the lines, or a whole note
 * @returns null where there is none
 */
export function findCosignature(text: string, witness: Verifier): Cosignature | null {
  const end = text.lastIndexOf("\n\n");
  const lines = end === -1 ? text : text.slice(end + 2);
  if (!LINES.test(lines)) return null;
  const prefix = `— ${witness.origin} `;
  const id = keyId(witness.origin, witness.publicKey, COSIGNATURE);
  for (const line of lines.trimEnd().split("\n")) {
    if (!line.startsWith(prefix)) continue;
    const base64 = line.slice(prefix.length);
    const blob = Buffer.from(base64, "base64");
    if (blob.length !== LINE_BYTES || blob.toString("base64") !== base64 || !blob.subarray(0, KEY_ID_BYTES).equals(id))
      continue;
    const seconds = Number(blob.readBigUInt64BE(KEY_ID_BYTES));
    if (Number.isSafeInteger(seconds)) return { seconds, signature: blob.subarray(KEY_ID_BYTES + TIME_BYTES) };
  }
  return null;
}

function messageOf(checkpoint: Checkpoint, seconds: number): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${seconds}\n${checkpointText(checkpoint)}`);
}
