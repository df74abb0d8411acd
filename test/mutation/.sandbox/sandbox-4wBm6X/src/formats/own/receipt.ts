// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { importPublicKey } from "../jose/jwk.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { isInteger, isList, isText } from "../json/narrow.ts";
import { HASH_BYTES, hashLeaf } from "../log/merkle.ts";
import { isSignedCheckpoint, NOTE_BYTES, parseNote, type SignedCheckpoint } from "../log/note.ts";
import { PROOF_HASHES, provesGrowth, provesInclusion } from "../log/proof.ts";
import { WITNESS_COUNT } from "./agent-config.ts";
import {
  base64urlOf,
  digestOf,
  LATCH_ID_BYTES,
  malformedMessage,
  NONCE_BYTES,
  openMessage,
  requireMembers,
  sealMessage,
} from "./enrolment.ts";
import { judgeWitnesses, type WantedWitnesses, type Witnessed } from "./witnessed.ts";

/** Receipts with proof: docs/format/receipt.md. */

/** What a machine asks for: the last release of one of its latches, and how the log has grown. */
interface WantedReceipt {
  /** Thumbprint of the server that is asked. */
  readonly server: string;
  /** Id of the latch, base64url. */
  readonly latch: string;
  /** The size of the checkpoint that the machine holds; 0 where it holds none. */
  readonly size: number;
  /** How many witnesses must have signed a checkpoint; null where none are asked for. */
  readonly cosigned: number | null;
}

/** A request whose signature was verified. */
export interface ReceiptRequest extends WantedReceipt {
  /** The id of the machine whose identity signed it. */
  readonly machine: string;
}

/** An entry of the log, and what proves that it is in the tree. */
export interface ProvedEntry {
  readonly number: number;
  readonly body: Buffer;
  readonly proof: readonly Buffer[];
}

/** What a server answers. */
export interface ReceiptAnswer {
  /** The signed note of the log's last checkpoint. */
  readonly note: string;
  /** The last release of the latch; null where the log has none. */
  readonly release: ProvedEntry | null;
  /** What proves that the log has grown from the asked size; null where that is the larger one. */
  readonly growth: readonly Buffer[] | null;
  /** The last entry that tells of an older copy which was taken into use; null where none does. */
  readonly rollback: ProvedEntry | null;
  /**
   * The last checkpoint that as many witnesses as were asked for have signed; null where there is
   * none. Undefined where none was asked for.
   */
  readonly cosigned: CosignedNote | null | undefined;
}

/** A checkpoint that witnesses have signed. */
interface CosignedNote {
  /** The signed note, with their lines. */
  readonly note: string;
  /** What proves that the log has grown from it. */
  readonly growth: readonly Buffer[];
}

/** Writes `POST {url}/machine/{machine}/receipt`, signed by the machine's identity. */
export function buildReceiptRequest(
  identity: KeyObject,
  wanted: WantedReceipt & { readonly nonce: Uint8Array },
): Buffer {
  const { nonce, server, latch, size, cosigned } = wanted;
  const more = cosigned === null ? {} : { cosigned };
  return sealMessage("nightlatch-receipt", identity, { nonce: toBase64url(nonce), server, latch, size, ...more });
}

/**
 * Reads a request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseReceiptRequest(body: Uint8Array): ReceiptRequest {
  const what = "the receipt request";
  const { machine, payload } = openMessage("nightlatch-receipt", body, what);
  const { cosigned } = payload;
  const more = cosigned === undefined ? [] : ["cosigned"];
  requireMembers(payload, [...more, "latch", "nonce", "server", "size"], what);
  if (cosigned !== undefined && !isInteger(cosigned, 1, WITNESS_COUNT))
    malformedMessage(`${what} asks for no number of witnesses`);
  base64urlOf(payload, "nonce", NONCE_BYTES);
  return {
    machine,
    server: base64urlOf(payload, "server", HASH_BYTES),
    latch: base64urlOf(payload, "latch", LATCH_ID_BYTES),
    size: sizeOf(payload, what),
    cosigned: cosigned ?? null,
  };
}

/**
 * Writes the answer, signed by the server's identity.
 * @param request the body as it was received
 */
export function buildReceiptAnswer(identity: KeyObject, request: Uint8Array, answer: ReceiptAnswer): Buffer {
  const { note, release, growth, rollback, cosigned } = answer;
  return sealMessage("nightlatch-receipted", identity, {
    request: digestOf(request),
    note,
    release: release === null ? null : entryJson(release),
    growth: growth === null ? null : growth.map(toBase64url),
    rollback: rollback === null ? null : entryJson(rollback),
    ...(cosigned === undefined ? {} : { cosigned: cosigned === null ? null : cosignedJson(cosigned) }),
  });
}

/** How the log stands to the checkpoint that the machine holds. */
export type Growth =
  /** The machine holds none yet. */
  | "first"
  /** It has grown from there. */
  | "grown"
  /**
   * It has not, and says itself, in an entry that anybody can read, that an older copy was taken
   * into use when it had come that far.
   */
  | "rolled-back"
  /** It has not, and hides it: entries were taken back or changed. */
  | "went-back"
  /** What the machine holds is no checkpoint of this server's. */
  | "unknown";

/** A release as the log has it; the proof holds. */
interface Receipt {
  /** Number of the entry. */
  readonly number: number;
  readonly kind: "release" | "flood" | "flood-end";
  /** When, in milliseconds since the epoch, by the server's clock. */
  readonly atMs: number;
  /** The address that was answered; null where the log does not tell it. */
  readonly from: string | null;
}

/** An answer of which everything that can be proved was proved. */
export interface ProvedReceipt {
  readonly checkpoint: SignedCheckpoint;
  /** The checkpoint's own text, to be kept. */
  readonly note: string;
  readonly receipt: Receipt | null;
  readonly growth: Growth;
  /** What witnesses have signed; null where none are wanted. */
  readonly witnessed: Witnessed | null;
}

/**
 * Reads the answer, and verifies that this very server gives it to this very request, that the
 * release is in the log which the checkpoint signs, and how the log stands to the one that is held.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted, receipt/not-proved
 */
export function parseReceiptAnswer(
  body: Uint8Array,
  expected: {
    readonly request: Uint8Array;
    readonly serverThumbprint: string;
    readonly machine: string;
    readonly latch: string;
    /** The note that is held; null where none is. */
    readonly held: string | null;
    /** Null where none are wanted. */
    readonly witnesses: WantedWitnesses | null;
  },
): ProvedReceipt {
  const what = "the server's answer";
  const { identity, machine: server, payload } = openMessage("nightlatch-receipted", body, what);
  const more = expected.witnesses === null ? [] : ["cosigned"];
  requireMembers(payload, [...more, "growth", "note", "release", "request", "rollback"], what);
  if (server !== expected.serverThumbprint || payload["request"] !== digestOf(expected.request)) {
    throw new NightlatchError("enrolment/untrusted", "somebody else answered in the server's place", {
      remedy: "Check the address in between.",
    });
  }
  const key = importPublicKey(identity);
  const { note } = payload;
  if (!isText(note, NOTE_BYTES)) malformedMessage(`${what} has no checkpoint`);
  const checkpoint = parseNote(note, key);
  if (checkpoint === null || !isSignedCheckpoint(checkpoint, key))
    notProved("the checkpoint is not signed by the server");
  const release = provedEntryOf(payload["release"], checkpoint, `${what}'s release`);
  const held = expected.held === null ? null : (parseNote(expected.held, key) ?? "unknown");
  const cosigned = expected.witnesses === null ? null : cosignedOf(payload["cosigned"], what);
  const signed = cosigned === null ? null : parseNote(cosigned.note, key);
  if (cosigned !== null && (signed === null || !isSignedCheckpoint(signed, key)))
    notProved("what witnesses signed is not signed by the server");
  // The server has signed both: it shows this machine another log than the witnesses.
  const isOther =
    cosigned !== null &&
    signed !== null &&
    (signed.origin !== checkpoint.origin || !provesGrowth(signed, checkpoint, cosigned.growth));
  return {
    checkpoint,
    note,
    receipt: release === null ? null : receiptOf(release, expected),
    growth: isOther ? "went-back" : growthOf(payload, checkpoint, held, what),
    witnessed:
      expected.witnesses === null
        ? null
        : judgeWitnesses(cosigned?.note ?? "", signed, release?.number ?? -1, expected.witnesses),
  };
}

function cosignedOf(json: Json | undefined, what: string): CosignedNote | null {
  if (json === null) return null;
  requireMembers(json ?? null, ["growth", "note"], `${what}'s cosigned checkpoint`);
  const { growth, note } = json as JsonObject;
  if (!isText(note, NOTE_BYTES)) malformedMessage(`${what} has no cosigned checkpoint`);
  return { note, growth: hashesOf(growth, what) };
}

function cosignedJson({ note, growth }: CosignedNote): JsonObject {
  return { note, growth: growth.map(toBase64url) };
}

function growthOf(
  payload: JsonObject,
  checkpoint: SignedCheckpoint,
  held: SignedCheckpoint | "unknown" | null,
  what: string,
): Growth {
  if (held === null) return "first";
  if (held === "unknown") return held;
  const growth = payload["growth"] === null ? null : hashesOf(payload["growth"], what);
  if (growth !== null && held.origin === checkpoint.origin && provesGrowth(held, checkpoint, growth)) return "grown";
  const rollback = provedEntryOf(payload["rollback"], checkpoint, `${what}'s older copy`);
  if (rollback === null) return "went-back";
  const { kind, size } = membersOf(rollback);
  return kind === "rollback" && isInteger(size, held.size, Number.MAX_SAFE_INTEGER) ? "rolled-back" : "went-back";
}

function receiptOf(
  entry: ProvedEntry,
  { machine, latch }: { readonly machine: string; readonly latch: string },
): Receipt {
  const members = membersOf(entry);
  const { kind, at, from } = members;
  if (kind !== "release" && kind !== "flood" && kind !== "flood-end") notProved("the entry is no release");
  if (members["machine"] !== machine || members["latch"] !== latch) notProved("the release is another's");
  if (!isInteger(at, 0, Number.MAX_SAFE_INTEGER)) notProved("the release has no time");
  return { number: entry.number, kind, atMs: at, from: isText(from, ADDRESS_LENGTH) ? from : null };
}

const ENTRY_BYTES = 1024;
const ADDRESS_LENGTH = 64;

function membersOf({ body }: ProvedEntry): JsonObject {
  const json = parseJson(body, "the log's entry", { lengthBytes: ENTRY_BYTES, depth: 1 });
  return isJsonObject(json) ? json : notProved("the entry is none");
}

function provedEntryOf(json: Json | undefined, checkpoint: SignedCheckpoint, what: string): ProvedEntry | null {
  if (json === null) return null;
  requireMembers(json ?? null, ["body", "number", "proof"], what);
  if (!isJsonObject(json ?? null)) malformedMessage(`${what} is not an object`);
  const { body, number, proof: list } = json as JsonObject;
  if (!isText(body, 2 * ENTRY_BYTES)) malformedMessage(`${what} has no entry`);
  if (!isInteger(number, 0, Number.MAX_SAFE_INTEGER)) malformedMessage(`${what} has no number`);
  const proof = hashesOf(list, what);
  const entry = { number, body: Buffer.from(body, "base64url"), proof };
  if (provesInclusion({ index: number, hash: hashLeaf(entry.body) }, checkpoint, proof)) return entry;
  return notProved(`entry ${number} is not in the log that was signed`);
}

function hashesOf(json: Json | undefined, what: string): Buffer[] {
  if (!isList(json, PROOF_HASHES)) malformedMessage(`${what} has no proof`);
  return json.map((hash) => Buffer.from(base64urlOf({ hash }, "hash", HASH_BYTES), "base64url"));
}

function entryJson({ number, body, proof }: ProvedEntry): JsonObject {
  return { number, body: toBase64url(body), proof: proof.map(toBase64url) };
}

function sizeOf({ size }: JsonObject, what: string): number {
  return isInteger(size, 0, Number.MAX_SAFE_INTEGER) ? size : malformedMessage(`${what} names no size`);
}

function notProved(what: string): never {
  throw new NightlatchError("receipt/not-proved", `the server's receipt proves nothing: ${what}`, {
    meaning: "The volume itself is unchanged. The server cannot show that its log has what it did.",
    remedy: "Run nightlatch audit verify at the server.",
  });
}
