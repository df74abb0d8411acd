import type { KeyObject } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { type Cosignature, isCosigned } from "../../formats/log/cosignature.ts";
import { append, type CompactRange, EMPTY_RANGE, hashLeaf, rootOf } from "../../formats/log/merkle.ts";
import {
  type Checkpoint,
  isSignedCheckpoint,
  originOf,
  type SignedCheckpoint,
  type Verifier,
} from "../../formats/log/note.ts";
import { parseEntry } from "./entry.ts";
import type { KnownRows } from "./replay/known.ts";
import { Replay } from "./replay/replay.ts";

/** A store's log and what is beside it, read page by page so that no reader holds a server up. */
export interface AuditSource {
  /** One moment of the store. */
  readonly snapshot: Snapshot;
  /** Entries from number `from` on, at least one where there is any. */
  entries(from: number): Promise<readonly NumberedEntry[]>;
  /** Checkpoints of a size above `after`, smallest first, at least one where there is any. */
  checkpoints(after: number): Promise<readonly SignedCheckpoint[]>;
  /** What witnesses have signed of its last checkpoints, of the largest sizes first. */
  cosignatures(): Promise<readonly NumberedCosignature[]>;
}

/** What a witness has signed, and of which size. */
export interface NumberedCosignature {
  readonly size: number;
  readonly witness: Verifier;
  readonly cosignature: Cosignature;
}

/** One moment of a store. */
export interface Snapshot extends KnownRows {
  readonly storeId: string;
  /** The server's identity, Ed25519. */
  readonly identity: KeyObject;
  /** The tree's range, as the store has it. */
  readonly range: CompactRange;
}

/** An entry's bytes, and its place in the log. */
export interface NumberedEntry {
  readonly number: number;
  readonly body: Buffer;
}

/** What was found to be in order. */
interface Verified {
  readonly entries: number;
  readonly checkpoints: number;
  readonly machines: number;
  readonly latches: number;
  /** The last one, of the whole log. */
  readonly last: SignedCheckpoint;
  /** What each witness has signed last, of those that are asked. */
  readonly cosigned: readonly NumberedCosignature[];
}

/**
 * Recomputes the whole tree, and holds every signed checkpoint and the store's own tables to it.
 * @param earlier a checkpoint that was kept elsewhere, from which the log must have grown; its
 *   signature is checked too
 * @throws NightlatchError audit/broken with the first thing that is wrong
 */
export async function verifyLog(source: AuditSource, earlier: SignedCheckpoint | null): Promise<Verified> {
  const { snapshot } = source;
  const { size } = snapshot.range;
  if (earlier !== null) requireSigned(earlier, snapshot);
  if (earlier !== null && earlier.size > size) {
    throw broken(`the log has ${size} entries, the checkpoint that was kept has ${earlier.size}: it was cut short`);
  }
  const replay = new Replay();
  const signed = new SignedRoots(source);
  const cosignatures = await source.cosignatures();
  const cosigned = Map.groupBy(cosignatures, (found) => found.size);
  let range = EMPTY_RANGE;
  while (range.size < size) {
    const page = await source.entries(range.size);
    if (page.length === 0) throw broken(`entry ${range.size} and all after it are missing: there should be ${size}`);
    for (const { number, body } of page.slice(0, size - range.size)) {
      if (number !== range.size) throw broken(`entry ${range.size} is missing`);
      replay.apply(parseOrThrow(number, body));
      range = append(range, hashLeaf(body));
      await signed.check(range);
      for (const found of cosigned.get(range.size) ?? []) requireCosigned(found, range, snapshot);
      if (range.size === earlier?.size) requireRoot(earlier, range, "the checkpoint that was kept");
    }
  }
  const last = signed.last;
  if (last === null || last.size !== size) throw broken("the last entries are not signed by any checkpoint");
  if (!rootOf(snapshot.range).equals(last.root)) throw broken("the tree's edge does not belong to the log");
  await requireSignedGrowth(source, size);
  const differences = replay.differences(snapshot, 1);
  if (differences[0] !== undefined) throw broken(differences[0]);
  const { machines, latches } = snapshot;
  const lasts = new Map(cosignatures.toReversed().map((found) => [found.witness.origin, found]));
  const counts = { machines: machines.length, latches: latches.length };
  return { entries: size, checkpoints: signed.count, ...counts, last, cosigned: [...lasts.values()] };
}

function requireCosigned(
  { size, witness, cosignature }: NumberedCosignature,
  range: CompactRange,
  { storeId }: Snapshot,
): void {
  if (isCosigned({ origin: originOf(storeId), size, root: rootOf(range) }, cosignature, witness.publicKey)) return;
  throw broken(`what ${witness.origin} has signed of ${size} entries is not this log`);
}

/** The checkpoints beside the walk over the entries. */
class SignedRoots {
  readonly #source: AuditSource;
  #page: readonly SignedCheckpoint[] | null = null;
  #at = 0;
  count = 0;
  last: SignedCheckpoint | null = null;

  constructor(source: AuditSource) {
    this.#source = source;
  }

  /** Holds the checkpoint of this size, if there is one, to the tree. */
  async check(range: CompactRange): Promise<void> {
    const next = await this.#next();
    if (next === null || next.size > range.size) return;
    if (next.size < range.size) throw broken(`the checkpoint of ${next.size} entries is out of order`);
    requireSigned(next, this.#source.snapshot);
    requireRoot(next, range, "a signed checkpoint");
    this.last = next;
    this.count++;
    this.#at++;
  }

  async #next(): Promise<SignedCheckpoint | null> {
    if (this.#page === null || (this.#at === this.#page.length && this.#page.length > 0)) {
      this.#page = await this.#source.checkpoints(this.last?.size ?? 0);
      this.#at = 0;
    }
    return this.#page[this.#at] ?? null;
  }
}

/** A server that runs appends meanwhile; what it appends it signs. */
async function requireSignedGrowth(source: AuditSource, size: number): Promise<void> {
  const [next] = await source.entries(size);
  if (next === undefined) return;
  const [checkpoint] = await source.checkpoints(size);
  if (checkpoint === undefined)
    throw broken(`entry ${next.number} and those after it are not signed by any checkpoint`);
  requireSigned(checkpoint, source.snapshot);
}

function requireSigned(checkpoint: SignedCheckpoint, { identity, storeId }: Snapshot): void {
  if (checkpoint.origin !== originOf(storeId)) throw broken(`a checkpoint is of another log, ${checkpoint.origin}`);
  if (isSignedCheckpoint(checkpoint, identity)) return;
  throw broken(`the checkpoint of ${checkpoint.size} entries is not signed by this server's identity`);
}

function requireRoot(checkpoint: Checkpoint, range: CompactRange, what: string): void {
  if (checkpoint.root.equals(rootOf(range))) return;
  throw broken(
    `the first ${checkpoint.size} entries are not those that ${what} was made over: one of them was changed`,
  );
}

function parseOrThrow(number: number, body: Buffer): ReturnType<typeof parseEntry> {
  try {
    return parseEntry(body);
  } catch (error) {
    throw broken(`entry ${number} is damaged`, error);
  }
}

function broken(what: string, cause?: unknown): NightlatchError {
  return new NightlatchError("audit/broken", what, {
    meaning:
      "The store was damaged or tampered with: what the server says of machines and releases cannot be relied on.",
    remedy: "Keep a copy of the data folder for whoever looks into it, and restore a backup from before.",
    cause,
  });
}
