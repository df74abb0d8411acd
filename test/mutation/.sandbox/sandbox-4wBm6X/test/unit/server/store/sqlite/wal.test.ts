/**
 * The WAL is overwritten before its blocks are given back, and nothing that was committed is lost
 * by that.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import {
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { Sqlite } from "../../../../../src/server/store/sqlite/sqlite.ts";
import { makeHome } from "../../../../support/server/harness.ts";

const SECRET = "a secret that no block may keep";

function write(sqlite: Sqlite, text: string): void {
  sqlite.begin();
  sqlite.prepare("insert into t values (?)").run(text);
  sqlite.commit();
}

function opened(path: string): Sqlite {
  const sqlite = new Sqlite(path);
  if (sqlite.pragma("user_version") === 0) {
    sqlite.prepare("create table t (x text)").run();
    sqlite.pragma("user_version = 1");
  }
  return sqlite;
}

const count = (sqlite: Sqlite) => (sqlite.prepare("select count(*) as n from t").get() as { n: number }).n;

/** Keeps a file's blocks from being given back, so that what is in them can be read afterwards. */
function hold(path: string): () => Buffer {
  const descriptor = openSync(path, "r");
  const { size } = fstatSync(descriptor);
  return () => {
    const bytes = Buffer.alloc(size);
    const length = readSync(descriptor, bytes, 0, size, 0);
    closeSync(descriptor);
    return bytes.subarray(0, length);
  };
}

test("it is zeros when it is truncated, and when the file is closed", () => {
  using home = makeHome();
  const [path, wal] = [home.folder, `${home.folder}-wal`];
  const sqlite = opened(path);
  for (let at = 0; at < 300; at++) write(sqlite, `${SECRET} ${at}`);
  assert.ok(readFileSync(wal).includes(SECRET));
  // A crash between the two steps shows what the blocks hold.
  const sizes: number[] = [];
  let atTruncation: Buffer = Buffer.alloc(0);
  const truncated = watchWal(sqlite, wal, (bytes) => {
    atTruncation = bytes;
    sizes.push(bytes.length);
  });
  assert.ok(truncated());
  assert.equal(statSync(wal).size, 0);
  assert.ok((sizes[0] ?? 0) > 100_000);
  assert.ok(atTruncation.every((byte) => byte === 0));
  assert.equal(count(sqlite), 300);

  write(sqlite, SECRET);
  const held = hold(wal);
  sqlite.truncateWal();
  sqlite.close();
  assert.ok(!held().includes(SECRET));
  assert.ok(!existsSync(wal));
  assert.equal(count(opened(path)), 301);
});

/**
 * Runs truncateWal and shows the WAL as it is between the overwriting and the truncation, when
 * SQLite is about to checkpoint.
 */
function watchWal(sqlite: Sqlite, wal: string, show: (bytes: Buffer) => void): () => boolean {
  return () => {
    const { pragma } = Database.prototype;
    Database.prototype.pragma = function (this: Database.Database, text: string, ...rest) {
      if (text === "wal_checkpoint(TRUNCATE)") show(readFileSync(wal));
      return pragma.call(this, text, ...rest);
    } as typeof pragma;
    try {
      return sqlite.truncateWal();
    } finally {
      Database.prototype.pragma = pragma;
    }
  };
}

test("the power goes between the zeros and the truncation: all that was committed is there", () => {
  using home = makeHome();
  const [path, wal] = [home.folder, `${home.folder}-wal`];
  const sqlite = opened(path);
  for (let at = 0; at < 200; at++) write(sqlite, `${at}`);
  const crash = join(home.path, "crash");
  watchWal(sqlite, wal, () => {
    for (const end of ["", "-wal"]) cpSync(path + end, crash + end);
  })();
  sqlite.close();
  const next = opened(crash);
  assert.equal(count(next), 200);
  write(next, "one more");
  next.close();
  assert.equal(count(opened(crash)), 201);
});

test("a reader that is there before keeps it as it is; what is committed meanwhile stays", () => {
  using home = makeHome();
  const [path, wal] = [home.folder, `${home.folder}-wal`];
  const sqlite = opened(path);
  write(sqlite, SECRET);
  const reader = new Database(path, { readonly: true });
  reader.exec("begin");
  assert.equal(reader.prepare("select count(*) from t").pluck().get(), 1);
  write(sqlite, "two");
  assert.ok(!sqlite.truncateWal());
  assert.ok(readFileSync(wal).includes(SECRET));
  write(sqlite, "three");
  assert.equal(reader.prepare("select count(*) from t").pluck().get(), 1);
  const crash = join(home.path, "crash");
  for (const end of ["", "-wal"]) cpSync(path + end, crash + end);
  assert.equal(count(opened(crash)), 3);
  reader.close();
  assert.ok(sqlite.truncateWal());
  assert.equal(statSync(wal).size, 0);
  assert.equal(count(sqlite), 3);
});

test("a reader that comes between the zeros and the truncation reads all there is, and costs no commit", () => {
  using home = makeHome();
  const [path, wal] = [home.folder, `${home.folder}-wal`];
  const sqlite = opened(path);
  for (let at = 0; at < 50; at++) write(sqlite, `${at}`);
  let reader: Database.Database | undefined;
  watchWal(sqlite, wal, () => {
    reader ??= new Database(path, { readonly: true });
    if (!reader.inTransaction) reader.exec("begin");
    assert.equal(reader.prepare("select count(*) from t").pluck().get(), 50);
  })();
  write(sqlite, "after");
  const crash = join(home.path, "crash");
  for (const end of ["", "-wal"]) cpSync(path + end, crash + end);
  assert.equal(count(opened(crash)), 51);
  assert.equal(reader?.prepare("select count(*) from t").pluck().get(), 50);
  reader?.close();
  assert.ok(sqlite.truncateWal());
  assert.equal(count(sqlite), 51);
});

test("where the truncation is held up nothing is committed to a WAL that is zeros", () => {
  using home = makeHome();
  const path = home.folder;
  const sqlite = opened(path);
  for (let at = 0; at < 50; at++) write(sqlite, `${at}`);
  const { pragma } = Database.prototype;
  let isHeld = true;
  Database.prototype.pragma = function (this: Database.Database, text: string, ...rest) {
    if (text === "wal_checkpoint(TRUNCATE)" && isHeld) return [{ busy: 1 }];
    return pragma.call(this, text, ...rest);
  } as typeof pragma;
  try {
    assert.ok(!sqlite.truncateWal());
    assert.throws(() => sqlite.begin(), { code: "store/busy" });
    assert.throws(() => sqlite.begin(), { code: "store/busy" });
    isHeld = false;
    write(sqlite, "after");
    assert.equal(count(sqlite), 51);
  } finally {
    Database.prototype.pragma = pragma;
  }
});

test("a start that finds a zeroed WAL while another program has the file open empties it first", () => {
  using home = makeHome();
  const path = home.folder;
  const reader = opened(path);
  for (let at = 0; at < 50; at++) write(reader, `${at}`);
  reader.pragma("wal_checkpoint(RESTART)");
  writeFileSync(`${path}-wal`, Buffer.alloc(statSync(`${path}-wal`).size), { flag: "r+" });
  const next = opened(path);
  write(next, "after");
  const crash = join(home.path, "crash");
  for (const end of ["", "-wal"]) cpSync(path + end, crash + end);
  assert.equal(count(opened(crash)), 51);
  next.close();
  reader.close();
  rmSync(path);
});
