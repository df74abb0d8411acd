import type { KeyObject } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type JsonObject, parseJson } from "../../formats/json/json.ts";
import { findCosignature, formatCosignature } from "../../formats/log/cosignature.ts";
import { append, EMPTY_RANGE, hashLeaf, rootOf } from "../../formats/log/merkle.ts";
import {
  COSIGNATURE,
  formatNote,
  formatVerifier,
  isSignedCheckpoint,
  originOf,
  parseNote,
  parseVerifier,
  type SignedCheckpoint,
} from "../../formats/log/note.ts";
import { hasSigned, isItsOwn } from "../../formats/own/witnessed.ts";
import { parseEntry } from "./entry.ts";
import type { AuditSource, NumberedCosignature } from "./verify.ts";

/** A log as a file: docs/format/audit-export.md. */

/** No line of it is longer. */
export const LINE_BYTES = 4096;
const FORMAT = "nightlatch-log";
const VERSION = 2;
/** Without the lines of witnesses. */
const VERSIONS = [1, VERSION];

/**
 * Gives the file of a log in pieces, as it stood when the source was opened.
 * @throws NightlatchError audit/broken where entries or their checkpoint are missing, store/*
 */
export async function* exportLog(source: AuditSource): AsyncGenerator<Buffer> {
  const { identity, storeId, range } = source.snapshot;
  const verifier = formatVerifier(originOf(storeId), identity);
  yield line({ format: FORMAT, version: VERSION, verifier });
  const others = (await source.cosignatures()).filter(({ witness }) => !isItsOwn(witness, originOf(storeId)));
  const cosigned = Map.groupBy(others, ({ size }) => size);
  for (let next = 0; next < range.size; ) {
    const page = (await source.entries(next)).slice(0, range.size - next);
    const pieces: Buffer[] = [];
    if (page.length === 0) throw broken(`entry ${next} and all after it are missing`);
    for (const { body } of page) {
      next++;
      pieces.push(body, NEWLINE);
      for (const found of cosigned.get(next) ?? []) pieces.push(await cosignedLine(source, found));
    }
    yield Buffer.concat(pieces);
  }
  const checkpoint = await checkpointOf(source, range.size);
  if (checkpoint === null) throw broken("the last entries are not signed by any checkpoint");
  yield line({ checkpoint: formatNote(checkpoint, identity) });
}

/** The checkpoint of this very size; null where there is none. */
async function checkpointOf(source: AuditSource, size: number): Promise<SignedCheckpoint | null> {
  const [checkpoint] = await source.checkpoints(size - 1);
  return checkpoint?.size === size ? checkpoint : null;
}

async function cosignedLine(source: AuditSource, { size, witness, cosignature }: NumberedCosignature): Promise<Buffer> {
  const checkpoint = await checkpointOf(source, size);
  if (checkpoint === null) throw broken(`${witness.origin} has signed ${size} entries, and the server has not`);
  const note = formatNote(checkpoint, source.snapshot.identity) + formatCosignature(cosignature, witness);
  return line({ cosigned: note, witness: formatVerifier(witness.origin, witness.publicKey, COSIGNATURE) });
}

/** What was found to be in order. */
interface VerifiedExport {
  readonly entries: number;
  readonly identity: KeyObject;
  /** As the first line has it. */
  readonly verifier: string;
  readonly last: SignedCheckpoint;
  /** What each witness has signed last, by the keys that the file names. */
  readonly cosigned: readonly CosignedSize[];
}

/** What a witness has signed, and of which size. */
interface CosignedSize extends NumberedCosignature {
  /** Its verifier key. */
  readonly verifier: string;
}

/**
 * Verifies a log's file.
 * @param lines without their line feeds
 * @param trusted a verifier key that was kept elsewhere; null: the file's own is taken
 * @param earlier finds the checkpoint that was kept elsewhere, by the file's key; null where there
 *   is none
 * @param wanted verifier keys of witnesses that must have signed
 * @throws NightlatchError audit/broken with the first thing that is wrong
 */
export async function verifyExport(
  lines: AsyncIterable<Buffer>,
  trusted: string | null,
  earlier: (key: KeyObject) => Promise<SignedCheckpoint | null>,
  wanted: readonly string[] = [],
): Promise<VerifiedExport> {
  const cosigned = new Map<string, CosignedSize>();
  let first: { readonly verifier: string; readonly origin: string; readonly publicKey: KeyObject } | null = null;
  let before: SignedCheckpoint | null = null;
  let range = EMPTY_RANGE;
  let last: SignedCheckpoint | null = null;
  for await (const bytes of lines) {
    if (last !== null) throw broken("something stands behind the checkpoint");
    if (first === null) {
      first = readFirst(bytes);
      if (trusted !== null && first.verifier !== trusted)
        throw broken("the file is signed by another key than the one that was given");
      before = await earlier(first.publicKey);
      continue;
    }
    last = readCheckpoint(bytes, first.publicKey);
    if (last !== null) continue;
    const found = readCosigned(bytes, first, range);
    if (found !== null) {
      cosigned.set(found.verifier, found);
      continue;
    }
    requireEntry(range.size, bytes);
    range = append(range, hashLeaf(bytes));
    if (range.size === before?.size) requireRoot(before, range, "the checkpoint that was kept");
  }
  if (first === null) throw broken("the file is empty");
  if (last === null) throw broken(`no checkpoint stands behind the ${range.size} entries: the file was cut short`);
  const { origin, publicKey, verifier } = first;
  if (last.origin !== origin || !isSignedCheckpoint(last, publicKey))
    throw broken("the checkpoint is not signed by the server");
  if (last.size !== range.size) throw broken(`the checkpoint is of ${last.size} entries, and there are ${range.size}`);
  requireRoot(last, range, "the checkpoint");
  if (before !== null && (before.size > range.size || before.origin !== origin))
    throw broken(
      `the file has ${range.size} entries, the checkpoint that was kept has ${before.size}: it was cut short`,
    );
  const missing = wanted.find((one) => !cosigned.has(one));
  if (missing !== undefined) throw broken(`nothing in the file is signed by the witness ${missing}`);
  return { entries: range.size, identity: publicKey, verifier, last, cosigned: [...cosigned.values()] };
}

function readFirst(bytes: Buffer): { verifier: string; origin: string; publicKey: KeyObject } {
  const { format, version, verifier } = objectIn(bytes);
  if (format !== FORMAT) throw broken("the file is no log of Nightlatch's");
  if (!VERSIONS.some((known) => known === version))
    throw broken(`the file is of version ${String(version)}, which is not known here`);
  const read = typeof verifier === "string" ? parseVerifier(verifier) : null;
  if (typeof verifier !== "string" || read === null) throw broken("the first line names no verifier key");
  return { verifier, ...read };
}

/** A line of a witness, held to the entries before it; null for a line of another kind. */
function readCosigned(
  bytes: Buffer,
  { origin, publicKey }: { readonly origin: string; readonly publicKey: KeyObject },
  range: typeof EMPTY_RANGE,
): CosignedSize | null {
  if (!bytes.toString("latin1", 0, 12).startsWith('{"cosigned":')) return null;
  const { cosigned: note, witness: verifier } = objectIn(bytes);
  const signed = typeof note === "string" ? parseNote(note, publicKey) : null;
  const witness = typeof verifier === "string" ? parseVerifier(verifier, COSIGNATURE) : null;
  const what = `the line of a witness behind entry ${range.size - 1}`;
  if (typeof note !== "string" || typeof verifier !== "string" || signed === null || witness === null)
    throw broken(`${what} is damaged`);
  if (signed.origin !== origin || !isSignedCheckpoint(signed, publicKey))
    throw broken(`${what} is not signed by the server`);
  if (signed.size !== range.size) throw broken(`${what} is of ${signed.size} entries, and stands behind ${range.size}`);
  requireRoot(signed, range, `what ${witness.origin} has signed`);
  const cosignature = findCosignature(note, witness);
  if (cosignature === null || !hasSigned(witness, signed, note)) throw broken(`${what} is not signed by it`);
  return { size: signed.size, witness, cosignature, verifier };
}

/** The last line's checkpoint; null for an entry, which has none. */
function readCheckpoint(bytes: Buffer, key: KeyObject): SignedCheckpoint | null {
  if (!bytes.toString("latin1", 0, 14).startsWith('{"checkpoint":')) return null;
  const { checkpoint } = objectIn(bytes);
  const read = typeof checkpoint === "string" ? parseNote(checkpoint, key) : null;
  if (read === null) throw broken("the checkpoint is not this server's");
  return read;
}

function requireEntry(number: number, bytes: Buffer): void {
  try {
    parseEntry(bytes);
  } catch (error) {
    throw broken(`entry ${number} is damaged`, error);
  }
}

function requireRoot({ size, root }: SignedCheckpoint, range: typeof EMPTY_RANGE, what: string): void {
  if (!root.equals(rootOf(range))) throw broken(`the first ${size} entries are not those that ${what} was made over`);
}

function objectIn(bytes: Buffer): JsonObject {
  try {
    const json = parseJson(bytes, "the line", { lengthBytes: LINE_BYTES, depth: 1 });
    if (isJsonObject(json)) return json;
  } catch {
    // said below
  }
  throw broken("a line of the file is damaged");
}

const NEWLINE = Buffer.from("\n");

function line(json: JsonObject): Buffer {
  return Buffer.from(`${JSON.stringify(json)}\n`);
}

function broken(what: string, cause?: unknown): NightlatchError {
  return new NightlatchError("audit/broken", what, {
    meaning: "The file is not what the server wrote, or not all of it.",
    remedy: "Have it written anew at the server: nightlatch audit export",
    cause,
  });
}
