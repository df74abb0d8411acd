import type { Cosignature } from "../../formats/log/cosignature.ts";
import type { SignedCheckpoint } from "../../formats/log/note.ts";
import type { EntryText, LatestKind, LatestRow } from "../audit/latest.ts";
import type { LogStore } from "../audit/log.ts";
import type { Tree } from "../audit/times.ts";
import type { NumberedCosignature, NumberedEntry, Snapshot } from "../audit/verify.ts";
import type { State } from "../policy/decide.ts";
import type { LeaseUse } from "../policy/lease.ts";
import type { Day } from "../policy/limits.ts";
import type { Crowd } from "../policy/request.ts";
import type { TermsSource } from "../policy/terms.ts";
import type {
  AliveRow,
  CosignatureRow,
  CrowdPlace,
  FormerEpoch,
  Gone,
  GroupRow,
  InviteRow,
  InviteState,
  KeyRow,
  LastRelease,
  LatchRow,
  LeaseRow,
  MachineRow,
  PolicyTerms,
  ReleaseRow,
  RequestRow,
  WatchedMachine,
  WitnessedLogRow,
  WitnessRow,
} from "./rows.ts";

/**
 * The port to what the server remembers. Keys come and go wrapped (keys/wrap.ts): no store ever
 * sees one in the clear. It is asynchronous, because a store may be on another machine; the
 * embedded one answers at once.
 */
export interface Store {
  /**
   * Runs `work` alone, in one transaction. When the promise resolves, what it wrote is on the disk,
   * and the cells of the keys that it destroyed are empty, or `owes` says that they are not. When
   * it rejects, nothing of it is.
   * @throws NightlatchError store/full, store/io; and what `work` throws
   */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * Takes the bytes of destroyed keys out of the store's own files. They are wrapped, and open
   * nothing by then. False where a reader of the files holds that up; call again later.
   */
  scrub(): Promise<boolean>;
  /** Whether the last scrub was held up, or there is something else for it to do. */
  readonly needsScrub: boolean;
  /**
   * Whether cells of destroyed keys could not be emptied yet, because the disk fails. `scrub` tries
   * again.
   */
  readonly owes: boolean;
  /**
   * Records durably, outside of the store, how far the log has come. An older copy in the store's
   * place is then found out at the next start. It costs nothing where that was recorded already.
   * @throws NightlatchError file/*
   */
  recordProgress(): Promise<void>;
  /**
   * Gives up room that was held back on the disk, for a change that must be recorded although the
   * disk is full. False where none is held.
   */
  makeRoom(): Promise<boolean>;
  /** Holds room back again, as far as there is any. It costs nothing where that was done. */
  holdRoom(): Promise<void>;
  /** The log as `audit verify` reads it, page by page. */
  readonly audit: AuditReads;
  /** Records how far the log has come, and closes the store. */
  close(): Promise<void>;
}

/** The log and what it must agree with, as `audit verify` reads them. */
export interface AuditReads {
  /** One moment of the store. */
  snapshot(): Promise<Snapshot>;
  /** Entries from number `from` on: a page, at least one where there is any. */
  entries(from: number): Promise<readonly NumberedEntry[]>;
  /**
   * Checkpoints of a size above `after`, smallest first: a page, at least one where there is any.
   */
  checkpoints(after: number): Promise<readonly SignedCheckpoint[]>;
  /** What witnesses have signed of its last checkpoints, of the largest sizes first. */
  cosignatures(): Promise<readonly NumberedCosignature[]>;
}

/** All that can be done inside a transaction. */
export interface Transaction extends Reads, Writes, LogStore {}

/** What can be read inside a transaction. */
export interface Reads {
  /** All that a release needs, in one read. Null where there is no such latch. */
  release(latchId: string): Promise<ReleaseRow | null>;
  /** The keys of a latch, of every epoch; none once they were destroyed. */
  keys(latchId: string): Promise<KeyRow[]>;
  latch(latchId: string): Promise<LatchRow | null>;
  /** The former epochs that are not over yet, of one latch or of all of a machine's. */
  formers(of: { readonly latch: string } | { readonly machine: string }): Promise<FormerEpoch[]>;
  latchByNonce(machineId: string, nonce: string): Promise<LatchRow | null>;
  latchesOf(machineId: string): Promise<LatchRow[]>;
  machine(machineId: string): Promise<MachineRow | null>;
  /**
   * Names may come again once a machine is revoked. Gives the machine that is not, or else the last
   * that was; null where there is none.
   */
  machineByName(name: string): Promise<MachineRow | null>;
  /** All of them, by name. */
  machines(): Promise<MachineRow[]>;
  /** The machines that have a lease which ends at this time or before, a page of them. */
  machinesPastLease(atMs: number): Promise<MachineRow[]>;
  request(requestId: string): Promise<RequestRow | null>;
  /** The request of this machine from this address; null where there is none. */
  requestFrom(machineId: string, from: string): Promise<RequestRow | null>;
  /** All of them, those that were made first at the front. */
  requests(): Promise<RequestRow[]>;
  /** How many requests there are beside that of this machine and address. */
  crowdAround(place: CrowdPlace): Promise<Crowd>;
  /**
   * Machines under `alive` that are not revoked, from behind this place on: a page of them, at
   * least one where there is any. It is for a start alone: places are none any more once the store
   * was scrubbed.
   */
  machinesUnderAlive(after: number): Promise<WatchedMachine[]>;
  /** A group by its name; null where there is none. */
  group(name: string): Promise<GroupRow | null>;
  /** All of them, by name. */
  groups(): Promise<GroupRow[]>;
  /** The machines in a group that are not revoked, by name. */
  machinesIn(group: string): Promise<MachineRow[]>;
  /** How many they are, and how many of them fell silent with it. */
  countIn(group: string): Promise<{ readonly machines: number; readonly gone: number }>;
  /** Those under `alive` that are neither locked nor revoked. */
  aliveIn(group: string): Promise<{ readonly id: string; readonly goneIn: number | null }[]>;
  /** Those that fell silent with it and are not back, a page of them. */
  goneIn(group: string, limit: number): Promise<MachineRow[]>;
  invite(inviteId: string): Promise<InviteRow | null>;
  /** The invites that wait to be used, by name. */
  openInvites(): Promise<InviteRow[]>;
  /** Whether there ever was an invite for this name. */
  hasInvited(name: string): Promise<boolean>;
  /** Where the audit log stands. */
  tree(): Promise<Tree>;
  /** The latest checkpoint; null where there is none. */
  checkpoint(): Promise<SignedCheckpoint | null>;
  /** The releases of a latch that were counted last, as far as the table of them reaches. */
  day(latchId: string): Promise<Day | null>;
  /** How many entries that table covers. */
  dayReach(): Promise<number>;
  /** What the entries beyond it have counted last, by the latch. */
  daysBeyond(): Promise<Map<string, Day>>;
  /** Entries from number `from` on, at most `limit`. */
  entries(from: number, limit: number): Promise<NumberedEntry[]>;
  /** The same entries as numbers and texts, in a third of the time, for whoever looks at many. */
  entryTexts(from: number, limit: number): Promise<EntryText[]>;
  /**
   * The kept hashes of full subtrees of 2^`level` entries, from number `from` on, at most `limit`
   * (audit/nodes.ts).
   */
  nodes(level: number, from: number, limit: number): Promise<Buffer[]>;
  /** How many of that level are kept: the first ones. */
  nodeCount(level: number): Promise<number>;
  /** The last entry that tells of an older copy which was taken into use. Null where none does. */
  lastRollback(): Promise<NumberedEntry | null>;
  /** How many entries the index of the latest ones covers. */
  latestReach(): Promise<number>;
  /**
   * The latest entry of a kind about a subject, as far as the index reaches. Null where it knows
   * none.
   */
  latest(kind: LatestKind, subject: string): Promise<NumberedEntry | null>;
  /** The last release of each latch that had one, as far as the index reaches. */
  lastReleases(): Promise<LastRelease[]>;
  /** Who is asked to cosign this log, by name. */
  witnesses(): Promise<WitnessRow[]>;
  /** What they have signed of its last checkpoints, of the largest sizes first. */
  cosigned(): Promise<CosignatureRow[]>;
  /** The logs that this server cosigns, by origin. */
  witnessedLogs(): Promise<WitnessedLogRow[]>;
  /** One of them; null where it is none. */
  witnessedLog(origin: string): Promise<WitnessedLogRow | null>;
}

/** What can be written inside a transaction, beside the log. */
interface Writes {
  insertInvite(invite: InviteRow): Promise<void>;
  /** Sets the state of an invite. Its key is destroyed where the state is another than `open`. */
  setInvite(inviteId: string, state: InviteState, machineId: string | null): Promise<void>;
  insertMachine(machine: MachineRow): Promise<void>;
  /**
   * Sets the state of a machine. Where it is not `active`, a lease that it has is void, and so are
   * its requests. That it fell silent with its site is over.
   */
  setMachine(machineId: string, state: State, epoch: number): Promise<void>;
  /**
   * Sets the policy of a machine. A lease that it has is void, and so are its requests and what was
   * kept for `alive`.
   */
  setPolicy(machineId: string, terms: PolicyTerms): Promise<void>;
  /** Sets of whom a machine's policy was said, where the policy stays as it is. */
  setSource(machineId: string, source: TermsSource): Promise<void>;
  /** Puts a machine into a group; null: into none. It is of the site of before no more. */
  setMembership(machineId: string, group: string | null): Promise<void>;
  /** Enters a group, or what is said of it now. */
  setGroup(group: GroupRow): Promise<void>;
  /** Removes a group, in which only machines that are revoked may be. */
  deleteGroup(name: string): Promise<void>;
  /** Keeps what a machine under `alive` is released by after a restart. */
  setAlive(machineId: string, alive: AliveRow): Promise<void>;
  /** Notes when a machine was last heard, and where from, packed; null: as it was. */
  setSeen(machineId: string, seenMs: number, seenFrom: Buffer | null): Promise<void>;
  /** Notes that a machine fell silent with its site. */
  setGone(machineId: string, gone: Gone): Promise<void>;
  /** Notes that a machine was let in by a window of its site; it is back. */
  setLetIn(machineId: string, window: number): Promise<void>;
  /** Gives a machine a lease in place of the one that it has; null: it has none from now on. */
  setLease(machineId: string, lease: LeaseRow | null): Promise<void>;
  /** Notes the first release of a latch within a lease. */
  useLease(latchId: string, use: LeaseUse): Promise<void>;
  /** Enters the releases of a latch that were counted last. */
  setDay(latchId: string, day: Day): Promise<void>;
  /** Notes how many entries the table of them covers. */
  setDayReach(size: number): Promise<void>;
  /** Enters a request, or what became of it. */
  setRequest(request: RequestRow): Promise<void>;
  deleteRequest(requestId: string): Promise<void>;
  insertLatch(latch: LatchRow, keys: readonly KeyRow[]): Promise<void>;
  setLatch(latchId: string, state: State): Promise<void>;
  /**
   * Gives a latch the keys of another epoch, which it advertises from now on. Those that it has
   * stay, as its former ones. It has no former ones yet.
   */
  rotateLatch(
    latchId: string,
    next: Pick<LatchRow, "epoch" | "advertisement"> & { readonly cell: number },
    keys: readonly KeyRow[],
  ): Promise<void>;
  /** Destroys the keys of a latch's former epoch, as `destroyKeys` does, where it has one. */
  retireFormer(latchId: string): Promise<void>;
  /**
   * Deletes every key of the latch, of every epoch, and empties its cells at the commit. `scrub`
   * then removes the bytes.
   */
  destroyKeys(latchId: string): Promise<void>;
  /** Keeps the hash of a full subtree. */
  insertNode(level: number, number: number, hash: Buffer): Promise<void>;
  /**
   * Enters the rows that are later than what is there, and how far the index reaches, where that is
   * further.
   */
  setLatest(found: readonly LatestRow[], reach: number): Promise<void>;
  /** Enters a witness, or what it was seen to have signed last. */
  setWitness(witness: WitnessRow): Promise<void>;
  /** Removes a witness, and what it has signed. */
  deleteWitness(name: string): Promise<void>;
  /** Keeps what a witness has signed, and forgets what was signed of much smaller sizes. */
  insertCosignature(size: number, witness: string, cosignature: Cosignature): Promise<void>;
  /** Enters a log that this server cosigns, or what it has signed of it last. */
  setWitnessedLog(log: WitnessedLogRow): Promise<void>;
  /** Removes such a log. What was signed of it is forgotten. */
  deleteWitnessedLog(origin: string): Promise<void>;
}
