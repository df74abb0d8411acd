import { NightlatchError } from "../../../core/errors.ts";
import { packRange, unpackRange } from "../../../formats/log/merkle.ts";
import { originOf, type SignedCheckpoint } from "../../../formats/log/note.ts";
import type { EntryText, LatestKind, LatestRow } from "../../audit/latest.ts";
import type { LogStore } from "../../audit/log.ts";
import { packTimes, type Tree, unpackTimes } from "../../audit/times.ts";
import type { NumberedEntry } from "../../audit/verify.ts";
import type { LastRelease } from "../rows.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

// Statements of the hot path and long ones: Kysely would write their text anew each time.
const INSERT_ENTRY = "insert into entry (number, body) values (?, ?)";
const SELECT_TREE = "select size, edge, times from tree where row = 1";
const UPDATE_TREE = "update tree set size = ?, edge = ?, times = ? where row = 1";
const SELECT_ENTRIES = "select number, body from entry where number >= ? order by number limit ?";
/** Numbers and texts, from one number on, so many at most. */
export const SELECT_ENTRY_TEXTS =
  "select number, cast(body as text) from entry where number >= ? order by number limit ?";
const SELECT_LATEST =
  "select number, body from latest join entry on number = latest.entry where kind = ? and subject = ?";
const SELECT_LAST_RELEASES = `select latch.machine as machineId, body
    from latest join latch on latch.id = latest.subject join entry on number = latest.entry
    where latest.kind = 'release'`;
const SET_LATEST =
  "insert into latest (kind, subject, entry) values (?, ?, ?) on conflict do update set entry = excluded.entry where excluded.entry > entry";
const SELECT_NODES = "select hash from node where level = ? and number >= ? order by number limit ?";
const SELECT_LAST_NODE = "select max(number) as number from node where level = ?";
const INSERT_NODE = "insert into node (level, number, hash) values (?, ?, ?)";
const SELECT_ROLLBACK =
  "select number, body from rollback join entry on entry.number = rollback.entry order by number desc limit 1";
const INSERT_CHECKPOINT = "insert into checkpoint (size, root, signature) values (?, ?, ?)";

/** The audit log and its index in SQLite. Whoever holds one is inside a transaction. */
export class SqliteLog implements LogStore {
  readonly #sqlite: Sqlite;
  readonly #origin: string;
  /** As it was read or written in this transaction; null where it was neither. */
  #tree: Tree | null = null;

  constructor(sqlite: Sqlite, storeId: string) {
    this.#sqlite = sqlite;
    this.#origin = originOf(storeId);
  }

  /** A transaction begins. What is known of another one may have been rolled back. */
  begun(): void {
    this.#tree = null;
  }

  async tree(): Promise<Tree> {
    this.#tree ??= this.#readTree();
    return this.#tree;
  }

  #readTree(): Tree {
    const raw = this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_TREE).get()) as
      | { size: number; edge: Buffer; times: Buffer }
      | undefined;
    const range = raw === undefined ? null : unpackRange(raw.size, raw.edge);
    if (raw === undefined || range === null) {
      throw new NightlatchError("store/damaged", "the audit tree's edge does not fit its size", {
        meaning: "The store was damaged or tampered with.",
        remedy: "Run nightlatch audit verify, and restore the store and its master key from the same backup.",
      });
    }
    return { ...range, times: unpackTimes(raw.times) };
  }

  async checkpoint(): Promise<SignedCheckpoint | null> {
    const row = this.#sqlite.first(
      query.selectFrom("checkpoint").select(["size", "root", "signature"]).orderBy("size", "desc").limit(1),
    );
    return row === null ? null : { origin: this.#origin, ...row };
  }

  async entries(from: number, limit: number): Promise<NumberedEntry[]> {
    return this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_ENTRIES).all(from, limit) as NumberedEntry[]);
  }

  async entryTexts(from: number, limit: number): Promise<EntryText[]> {
    const select = this.#sqlite.prepare(SELECT_ENTRY_TEXTS).raw();
    return this.#sqlite.guard(() => select.all(from, limit) as EntryText[]);
  }

  async latestReach(): Promise<number> {
    return this.#sqlite.first(query.selectFrom("latest_reach").select("size"))?.size ?? 0;
  }

  async latest(kind: LatestKind, subject: string): Promise<NumberedEntry | null> {
    const row = this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_LATEST).get(kind, subject));
    return (row as NumberedEntry | undefined) ?? null;
  }

  async lastReleases(): Promise<LastRelease[]> {
    return this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_LAST_RELEASES).all() as LastRelease[]);
  }

  async nodes(level: number, from: number, limit: number): Promise<Buffer[]> {
    return this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_NODES).pluck().all(level, from, limit) as Buffer[]);
  }

  async nodeCount(level: number): Promise<number> {
    const last = this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_LAST_NODE).pluck().get(level));
    return typeof last === "number" ? last + 1 : 0;
  }

  async lastRollback(): Promise<NumberedEntry | null> {
    const row = this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_ROLLBACK).get());
    return (row as NumberedEntry | undefined) ?? null;
  }

  async insertNode(level: number, number: number, hash: Buffer): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(INSERT_NODE).run(level, number, hash));
  }

  async insertEntries(first: number, bodies: readonly Buffer[]): Promise<void> {
    this.#sqlite.guard(() => {
      const insert = this.#sqlite.prepare(INSERT_ENTRY);
      for (const [index, body] of bodies.entries()) insert.run(first + index, body);
    });
  }

  async setTree(tree: Tree): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(UPDATE_TREE).run(tree.size, packRange(tree), packTimes(tree.times)));
    this.#tree = tree;
  }

  async insertCheckpoint({ size, root, signature }: SignedCheckpoint): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(INSERT_CHECKPOINT).run(size, root, signature));
  }

  async setLatest(found: readonly LatestRow[], reach: number): Promise<void> {
    this.#sqlite.guard(() => {
      const set = this.#sqlite.prepare(SET_LATEST);
      for (const { kind, subject, entry } of found) set.run(kind, subject, entry);
    });
    this.#sqlite.run(query.updateTable("latest_reach").set({ size: reach }).where("size", "<", reach));
  }
}
