/**
 * A store as an older version left it, made of one of this version. The master key alone wrapped
 * everything there.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { Secret } from "../../../src/core/secret.ts";
import { MasterKey, seal, unseal, type WrapContext } from "../../../src/server/store/keys/wrap.ts";
import { APPLICATION_ID, MIGRATIONS } from "../../../src/server/store/sqlite/migrations.ts";
import { readCells } from "./carve.ts";

/** From this version on what was counted of a day has a table of its own. */
const DAY_TABLE_VERSION = 12;

/**
 * Makes the store in a folder what it was in an older version, from 3 on: whatever its later
 * migrations have added is gone, and what they have moved is where it was.
 */
export function takeBack(folder: string, version: number): void {
  const database = new Database(join(folder, "store.sqlite"));
  const then = new Database(":memory:");
  migrateTo(then, version);
  const moved = version >= DAY_TABLE_VERSION ? [] : ["since_ms day_ms", "count day_count"];
  for (const [now, column] of moved.map((names) => names.split(" "))) {
    database.exec(`update latch set ${column} = (select ${now} from latch_day where latch_day.latch = latch.id)`);
  }
  const isOfThen = new Set(partsOf(then).map(({ type, name }) => `${type} ${name}`));
  const later = partsOf(database).filter(({ type, name }) => !isOfThen.has(`${type} ${name}`));
  // Indexes first: a column that has one stays.
  for (const { type, name } of later.toSorted((a, b) => a.type.localeCompare(b.type))) {
    database.exec(`drop ${type} if exists ${name}`);
  }
  for (const { name } of partsOf(then).filter(({ type }) => type === "table")) {
    const before = new Set(columnsOf(then, name));
    for (const column of columnsOf(database, name)) {
      if (!before.has(column)) database.exec(`alter table ${name} drop column ${column}`);
    }
  }
  database.pragma(`user_version = ${version}`);
  then.close();
  database.close();
}

function migrateTo(database: Database.Database, version: number): void {
  for (const statements of MIGRATIONS.slice(0, version)) {
    for (const statement of statements()) {
      const { sql, parameters } = statement.compile();
      database.prepare(sql).run(...parameters);
    }
  }
}

function partsOf(database: Database.Database): { readonly type: string; readonly name: string }[] {
  const select = "select type, name from sqlite_schema where type in ('table', 'index') and name not like 'sqlite_%'";
  return database.prepare(select).all() as { type: string; name: string }[];
}

function columnsOf(database: Database.Database, table: string): string[] {
  return (database.pragma(`table_info(${table})`) as { name: string }[]).map(({ name }) => name);
}

interface StoredKey {
  readonly id: string;
  readonly epoch: number;
  readonly purpose: WrapContext["purpose"];
  readonly wrapped: Buffer;
  readonly cell: number;
}

/** What was in a store of an older version. */
export interface OldStore {
  readonly master: Buffer;
  /** What the master key wrapped, by what it belongs to. */
  readonly wrapped: readonly { readonly context: WrapContext; readonly bytes: Buffer }[];
}

/**
 * Makes an older version of a store, which no server may have open. Versions before 3 are known.
 */
export function makeOld(folder: string, version: 1 | 2 = 2): OldStore {
  const master = readFileSync(join(folder, "master.key"));
  using key = new MasterKey(Secret.copy(master));
  const cells = readCells(folder);
  const path = join(folder, "store.sqlite");
  const now = new Database(path);
  const wrapped: { context: WrapContext; bytes: Buffer }[] = [];
  const old = (context: WrapContext, plain: Uint8Array) => {
    const bytes = seal(master, plain, context);
    wrapped.push({ context, bytes });
    return bytes;
  };
  const oldKey = ({ id, epoch, purpose, wrapped: bytes, cell }: StoredKey) => {
    const context = { id, epoch, purpose };
    // A key that is destroyed now was kept then.
    if (bytes.length === 0) return old(context, randomBytes(32));
    using plain = unseal(key.with(cells(cell)), bytes, context);
    return old(context, plain.reveal());
  };
  const keys = now
    .prepare("select latch as id, k.epoch, purpose, wrapped, cell from latch_key k join latch on latch.id = latch")
    .all() as StoredKey[];
  const invites = now
    .prepare("select id, 1 as epoch, 'invite' as purpose, wrapped, cell from invite")
    .all() as StoredKey[];
  const own = now.prepare("select id, wrapped_identity, master_check from store").get() as Record<string, Buffer>;
  const id = String(own["id"]);

  const before = `${path}.old`;
  const then = new Database(before);
  migrateTo(then, version);
  then.pragma(`application_id = ${APPLICATION_ID}`);
  then.pragma(`user_version = ${version}`);
  const tables = ["store", "machine", "latch", "latch_key", "invite", "entry", "tree", "checkpoint"].map((name) => {
    return { name, columns: columnsOf(then, name).join(", ") };
  });
  then.close();
  now.exec(`attach '${before}' as before`);
  now.exec("begin");
  for (const { name, columns } of tables) {
    now.exec(`insert into before.${name} (${columns}) select ${columns} from main.${name}`);
  }
  const update = now.prepare("update before.latch_key set wrapped = ? where latch = ? and epoch = ? and purpose = ?");
  for (const row of keys) update.run(oldKey(row), row.id, row.epoch, row.purpose);
  for (const row of invites) now.prepare("update before.invite set wrapped = ? where id = ?").run(oldKey(row), row.id);
  for (const [column, purpose] of [
    ["wrapped_identity", "identity"],
    ["master_check", "check"],
  ] as const) {
    const context = { purpose, id, epoch: 1 };
    using plain = key.unwrap(own[column] ?? Buffer.alloc(0), context);
    now.prepare(`update before.store set ${column} = ?`).run(old(context, plain.reveal()));
  }
  now.exec("commit");
  now.close();
  for (const name of ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "cells"])
    rmSync(join(folder, name), { force: true });
  copyFileSync(before, path);
  chmodSync(path, 0o600);
  rmSync(before);
  return { master, wrapped };
}
