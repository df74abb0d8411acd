import type { EntryText, LatestKind, LatestRow } from "../audit/latest.ts";
import type { LogStore } from "../audit/log.ts";
import type { SignedCheckpoint } from "../audit/note.ts";
import type { Tree } from "../audit/times.ts";
import type { NumberedEntry, Snapshot } from "../audit/verify.ts";
import type { State } from "../policy/decide.ts";

/**
 * The port to what the server remembers. Keys come and go wrapped (see wrap.ts): no store ever sees one in the clear.
 * Asynchronous, because a store may be on another machine; the embedded one answers at once.
 */
export interface Store {
  /**
   * Runs `work` alone, in one transaction; when the promise resolves, what it wrote is on the disk, and the cells of the keys that it
   * destroyed are empty, or `owes` says that they are not. When it rejects, nothing of it is.
   * @throws NightlatchError store/full, store/io; and what `work` throws
   */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * After keys were destroyed: takes the bytes that were wrapped out of the store's own files. They open nothing by then. False where
   * a reader of the files holds that up; call again later.
   */
  scrub(): Promise<boolean>;
  /** Whether the last scrub was held up, or there is something else for it to do. */
  readonly needsScrub: boolean;
  /** Whether cells of destroyed keys could not be emptied yet, since the disk fails. `scrub` tries again. */
  readonly owes: boolean;
  /**
   * Notes durably, outside of the store, how far the log has come, so that an older copy in the store's place is found out at the
   * next start. Costs nothing where that was noted already.
   * @throws NightlatchError file/*
   */
  recordProgress(): Promise<void>;
  /**
   * Gives up room that was held back on the disk, for a change that must be recorded although it is full. False where none is held.
   */
  makeRoom(): Promise<boolean>;
  /** Holds room back again, as far as there is any. Costs nothing where that was done. */
  holdRoom(): Promise<void>;
  /** The log as `audit verify` reads it, page by page. */
  readonly audit: AuditReads;
  /** Notes first how far the log has come. */
  close(): Promise<void>;
}

export interface AuditReads {
  /** One moment of the store. */
  snapshot(): Promise<Snapshot>;
  /** Entries from number `from` on: a page, at least one where there is any. */
  entries(from: number): Promise<readonly NumberedEntry[]>;
  /** Checkpoints of a size above `after`, smallest first: a page, at least one where there is any. */
  checkpoints(after: number): Promise<readonly SignedCheckpoint[]>;
}

export interface Transaction extends Reads, Writes, LogStore {}

export interface Reads {
  /** All that a release needs, in one read. */
  release(latchId: string): Promise<ReleaseRow | null>;
  /** Of every epoch; none once destroyed. */
  keys(latchId: string): Promise<KeyRow[]>;
  latch(latchId: string): Promise<LatchRow | null>;
  latchByNonce(machineId: string, nonce: string): Promise<LatchRow | null>;
  latchesOf(machineId: string): Promise<LatchRow[]>;
  machine(machineId: string): Promise<MachineRow | null>;
  /** Names may come again once revoked: the machine that is not, else the last that was. */
  machineByName(name: string): Promise<MachineRow | null>;
  /** By name. */
  machines(): Promise<MachineRow[]>;
  invite(inviteId: string): Promise<InviteRow | null>;
  /** Those that wait to be used, by name. */
  openInvites(): Promise<InviteRow[]>;
  /** Whether there ever was an invite for this name. */
  hasInvited(name: string): Promise<boolean>;
  /** Where the audit log stands. */
  tree(): Promise<Tree>;
  checkpoint(): Promise<SignedCheckpoint | null>;
  /** Entries from number `from` on, at most `limit`. */
  entries(from: number, limit: number): Promise<NumberedEntry[]>;
  /** The same as number and text: for who looks at many, which is a third of the time. */
  entryTexts(from: number, limit: number): Promise<EntryText[]>;
  /** How many entries the index of the latest ones covers. */
  latestReach(): Promise<number>;
  /**
   * The latest entry of a kind about a subject, as far as the index reaches; null where it knows
   * none.
   */
  latest(kind: LatestKind, subject: string): Promise<NumberedEntry | null>;
  /** The last release of each latch that had one, as far as the index reaches. */
  lastReleases(): Promise<LastRelease[]>;
}

interface Writes {
  insertInvite(invite: InviteRow): Promise<void>;
  /** Its key is destroyed where the state is another than `open`. */
  setInvite(inviteId: string, state: InviteState, machineId: string | null): Promise<void>;
  insertMachine(machine: MachineRow): Promise<void>;
  setMachine(machineId: string, state: State, epoch: number): Promise<void>;
  insertLatch(latch: LatchRow, keys: readonly KeyRow[]): Promise<void>;
  setLatch(latchId: string, state: State): Promise<void>;
  /** Deletes every key of the latch, of every epoch, and empties its cell at the commit. `scrub` then removes the bytes. */
  destroyKeys(latchId: string): Promise<void>;
  /**
   * Enters those that are later than what is there, and how far the index reaches, where that is
   * further.
   */
  setLatest(found: readonly LatestRow[], reach: number): Promise<void>;
}

/** Of one latch. */
export interface LastRelease {
  readonly machineId: string;
  readonly body: Buffer;
}

export interface ReleaseRow {
  readonly machineId: string;
  readonly machineState: State;
  readonly latchState: State;
  readonly latchEpoch: number;
  /** Null once destroyed. */
  readonly exchange: { readonly kid: string; readonly wrapped: Buffer; readonly cell: number } | null;
}

export interface LatchRow {
  readonly id: string;
  readonly machineId: string;
  readonly volume: string;
  readonly state: State;
  readonly epoch: number;
  readonly nonce: string;
  readonly createdMs: number;
  /** What `GET /latch/{id}/adv` answers. */
  readonly advertisement: string;
  /** What its keys are wrapped with. Null where they were destroyed before there were cells. */
  readonly cell: number | null;
}

export type KeyPurpose = "exchange" | "signing";

export interface KeyRow {
  readonly purpose: KeyPurpose;
  readonly epoch: number;
  /** S256 thumbprint. */
  readonly kid: string;
  readonly publicJwk: string;
  readonly wrapped: Buffer;
}

export interface MachineRow {
  /** Thumbprint of its identity. */
  readonly id: string;
  readonly name: string;
  readonly state: State;
  readonly epoch: number;
  readonly enrolledMs: number;
}

/**
 * `void`: another one for the same name took its place, an operator made it so, or it has expired.
 */
export type InviteState = "open" | "used" | "void";

export interface InviteRow {
  readonly id: string;
  readonly name: string;
  readonly state: InviteState;
  /** Empty once destroyed: it was used, is void or has expired. */
  readonly wrappedKey: Buffer;
  /** What its key is wrapped with. Null where it was destroyed before there were cells. */
  readonly cell: number | null;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** The log's size then: what came later is in the entries from this number on. */
  readonly madeAt: number;
  readonly machineId: string | null;
}
