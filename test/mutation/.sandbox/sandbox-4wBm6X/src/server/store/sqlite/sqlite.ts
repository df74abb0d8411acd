// @ts-nocheck
import Database from "better-sqlite3";
import type { Compilable, CompiledQuery } from "kysely";
import { isError, type NightlatchError } from "../../../core/errors.ts";
import { placeBlocks } from "../../../system/file-blocks.ts";
import { beginsWithZeros, overwriteWithZeros, sizeOfFile } from "../../../system/wipe-file.ts";
import { failureOf, heldByAnother } from "./failure.ts";

type Parameters = readonly unknown[];

/** The head of the WAL's index, which readers write too (136 bytes); it is touched at once. */
const INDEX_HEAD_BYTES = 512;

/**
 * One SQLite file, with what we promise of it: WAL, an fsync before a commit returns
 * (synchronous=FULL), foreign keys, and deleted bytes overwritten (secure_delete). Queries are
 * written by Kysely and run here, synchronously: nothing of another request can come between the
 * statements of a transaction.
 */
export class Sqlite {
  readonly #database: Database.Database;
  readonly #path: string;
  readonly #statements = new Map<string, Database.Statement>();
  /**
   * Set once an fsync failed. What the kernel then holds of earlier writes is unknown, and it says
   * so only once.
   */
  #broken: NightlatchError | null = null;
  /**
   * Set while the WAL holds zeros that SQLite takes for frames. Nothing may be read or written
   * before it is empty.
   */
  #isHollow = false;
  /** Set once the WAL's index has all its blocks. */
  #hasPlaced = false;

  /** Opens the file. @throws NightlatchError store/damaged, store/io, store/missing, store/busy */
  constructor(path: string, options: { readonly readonly?: boolean } = {}) {
    this.#path = path;
    const readonly = options.readonly ?? false;
    this.#database = this.#guard(() => new Database(path, { readonly, fileMustExist: readonly, timeout: BUSY_MS }));
    this.#guard(() => {
      if (!readonly) this.#database.pragma("journal_mode = WAL");
      // With a limit SQLite would give blocks back that were not overwritten.
      this.#database.pragma("journal_size_limit = -1");
      this.#database.pragma("temp_store = MEMORY");
      this.#database.pragma("synchronous = FULL");
      this.#database.pragma("foreign_keys = ON");
      this.#database.pragma("secure_delete = ON");
      this.#database.pragma("trusted_schema = OFF");
      this.#database.pragma("cell_size_check = ON");
    });
    this.#isHollow = !readonly && beginsWithZeros(`${path}-wal`);
  }

  /** A statement that is run often; its SQL is known to be right. */
  prepare(text: string): Database.Statement {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** All rows of a query. @throws NightlatchError store/* */
  all<Row>(query: Compilable<Row>): Row[] {
    return this.#guard(() => this.#compiled(query, (statement, values) => statement.all(...values) as Row[]));
  }

  /** The first row of a query; null where there is none. @throws NightlatchError store/* */
  first<Row>(query: Compilable<Row>): Row | null {
    return this.#guard(
      () => this.#compiled(query, (statement, values) => statement.get(...values) as Row | undefined) ?? null,
    );
  }

  /** Runs a query that gives nothing. @throws NightlatchError store/* */
  run(query: Compilable): void {
    this.#guard(() => this.#compiled(query, (statement, values) => statement.run(...values)));
  }

  /** Runs a PRAGMA, and gives its value. @throws NightlatchError store/* */
  pragma(text: string): unknown {
    return this.#guard(() => this.#database.pragma(text, { simple: true }));
  }

  /**
   * Begins a transaction. It is deferred: one that only reads costs no lock and no fsync.
   * @throws NightlatchError store/*
   */
  begin(): void {
    this.#guard(() => {
      if (this.#broken !== null) throw this.#broken;
      this.#requireWal();
      this.#placeIndex();
      this.prepare("begin").run();
    });
  }

  /** Commits: what was written is on the disk when this returns. @throws NightlatchError store/* */
  commit(): void {
    this.#guard(() => this.prepare("commit").run());
  }

  /** Rolls back, also where SQLite has done so by itself, as it does on a full disk. */
  rollback(): void {
    if (this.#database.inTransaction) this.#database.exec("rollback");
  }

  /**
   * Moves what the WAL holds into the file, overwrites the WAL with zeros and empties it: the
   * blocks of a truncated file would keep what was in them. False where a reader holds that up.
   * docs/decisions/064-what-the-wal-leaves.md
   */
  truncateWal(): boolean {
    // Afterwards nobody needs the WAL. Whoever reads from now on reads the file, and nobody but
    // this connection writes.
    if (!this.#isHollow && !this.#checkpoint("RESTART")) return false;
    this.#isHollow = true;
    overwriteWithZeros(`${this.#path}-wal`);
    return this.#emptyWal();
  }

  /** How long the WAL is; 0 where there is none. */
  get walBytes(): number {
    return sizeOfFile(`${this.#path}-wal`);
  }

  /**
   * The index of the WAL is mapped into memory. SQLite allocates one byte of each of its pages,
   * which is a hole elsewhere on a file system with smaller blocks.
   */
  #placeIndex(): void {
    if (this.#hasPlaced) return;
    this.prepare("select 1 from sqlite_schema limit 1").get(); // makes it, where it is not there
    placeBlocks(`${this.#path}-shm`, INDEX_HEAD_BYTES);
    this.#hasPlaced = true;
  }

  #requireWal(): void {
    if (this.#isHollow && !this.#emptyWal()) throw heldByAnother(this.#path);
  }

  #emptyWal(): boolean {
    const isEmpty = this.#checkpoint("TRUNCATE");
    if (isEmpty) this.#isHollow = false;
    return isEmpty;
  }

  #checkpoint(mode: "RESTART" | "TRUNCATE"): boolean {
    const [outcome] = this.#guard(() => this.#database.pragma(`wal_checkpoint(${mode})`)) as { busy: number }[];
    return outcome?.busy === 0;
  }

  /**
   * Writes every page anew, in memory first. secure_delete overwrites a row where it lies, not the
   * copies that remain in a page's unused space when SQLite moves rows between pages. Pages that
   * are built anew hold nothing but rows that are there.
   * @returns false where the disk has no room for it, or another program holds it up. True for a
   *   larger file, which is left as it is: it would keep releases waiting, and what remains in it
   *   opens nothing.
   */
  rewrite(): boolean {
    const pages = Number(this.pragma("page_count"));
    if (pages * Number(this.pragma("page_size")) > REWRITE_BYTES) return true;
    try {
      this.#guard(() => this.#database.exec("vacuum"));
      return true;
    } catch (error) {
      if (isError(error, "store/full") || isError(error, "store/busy")) return false;
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #compiled<T>(query: Compilable, use: (statement: Database.Statement, values: Parameters) => T): T {
    this.#requireWal();
    const { sql, parameters }: CompiledQuery = query.compile();
    return use(this.prepare(sql), parameters);
  }

  /** Runs `work` with SQLite's failures told as ours. */
  guard<T>(work: () => T): T {
    return this.#guard(work);
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const known = failureOf(error, this.#path);
      if (known.code === "store/io" && /FSYNC/.test(known.message)) this.#broken ??= known;
      throw known;
    }
  }
}

/**
 * About three thousand latches with some receipts each. It takes a quarter of a second
 * (docs/benchmarks.md, bench/start).
 */
const REWRITE_BYTES = 16 << 20;
/**
 * A backup tool may hold the file's lock for a moment. The event loop waits with it, so this is
 * short.
 */
const BUSY_MS = 500;
