// @ts-nocheck
import { HASH_BYTES } from "./merkle.ts";
import { NOTE_BYTES } from "./note.ts";

/**
 * A checkpoint that a log shows to a witness, and what proves that the log has grown to it from the
 * one that the witness has signed last: `add-checkpoint` of c2sp.org/tlog-witness, and
 * docs/format/witness.md.
 */
interface Submission {
  /** The size that the witness has signed last, as the log has it. */
  readonly oldSize: number;
  /** Hashes of `consistencyRanges`, at most 63. */
  readonly proof: readonly Buffer[];
  /** The signed note. */
  readonly note: string;
}

/** No submission has more. */
export const SUBMISSION_BYTES = 8192;
/** Of the answer that tells another size. */
export const SIZE_TYPE = "text/x.tlog.size";

/** Writes the body of a submission. */
export function buildSubmission({ oldSize, proof, note }: Submission): Buffer {
  const hashes = proof.map((hash) => `${hash.toString("base64")}\n`).join("");
  return Buffer.from(`old ${oldSize}\n${hashes}\n${note}`);
}

const SUBMISSION = /^old (0|[1-9]\d{0,15})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^\n]+)\n/;

/**
 * Reads a submission; the note in it is read by its log's key (`parseNote`).
 * @returns it and the origin that its note names; null where it is none
 */
export function parseSubmission(body: Uint8Array): (Submission & { readonly origin: string }) | null {
  const text = body.byteLength > SUBMISSION_BYTES ? null : decode(body);
  const [, size, hashes, origin] = (text === null ? null : SUBMISSION.exec(text)) ?? [];
  if (text === null || size === undefined || hashes === undefined || origin === undefined) return null;
  const oldSize = Number(size);
  const proof = hashes.split("\n").slice(0, -1).map(hashOf);
  const note = text.slice(`old ${size}\n${hashes}\n`.length);
  if (!Number.isSafeInteger(oldSize) || Buffer.byteLength(note) > NOTE_BYTES) return null;
  return proof.every((hash) => hash !== null) ? { oldSize, proof, note, origin } : null;
}

/** Writes the answer that tells what the witness has signed last. */
export function formatSize(size: number): string {
  return `${size}\n`;
}

/** Reads it; null where it is none. */
export function parseSize(body: Uint8Array): number | null {
  const text = Buffer.from(body).toString("latin1");
  const size = Number(/^(0|[1-9]\d{0,15})\n$/.exec(text)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(size) ? size : null;
}

/** Null where the last bits are not zero: the same bytes have one text. */
function hashOf(base64: string): Buffer | null {
  const hash = Buffer.from(base64, "base64");
  return hash.length === HASH_BYTES && hash.toString("base64") === base64 ? hash : null;
}

function decode(body: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return null;
  }
}
