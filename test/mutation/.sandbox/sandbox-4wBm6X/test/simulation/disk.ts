/**
 * The disk of a simulated server: a folder in memory, whose ways to fail a seed decides. SQLite
 * writes to it itself, so what is simulated of its file is what a commit leaves: nothing, all of
 * it, or any mixture of the sectors that were written and not synced. Of the cells it is the same
 * for every write. Files that are replaced whole are the old or the new one.
 */
// @ts-nocheck

import {
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { NightlatchError } from "../../src/core/errors.ts";
import type { FolderSystem } from "../../src/server/store/folder/opening.ts";
import { Sqlite } from "../../src/server/store/sqlite/sqlite.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { InPlaceFile } from "../../src/system/port.ts";
import type { Chance } from "./chance.ts";

const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;
/** The least that a commit takes: the log's page, its entry's, and their heads in the WAL. */
const LEAST_COMMIT_BYTES = 2 * (PAGE_BYTES + 24);
/** A disk in memory has an fsync that costs nothing. */
const SHM = "/dev/shm";

/** The server's process has ended, in the middle of what it did. */
export class Crash extends Error {}

/** What a crash does to what was not synced. `kill`: the process ends, and the disk is whole. */
export type CrashKind = "kill" | "power";

/** What a disk can be told to do wrong for good: none of it is a disk's right. */
export interface LyingDisk {
  /** The last commits before the power goes are lost, although they were said to be on the disk. */
  readonly losesCommits?: boolean;
}

interface Unsynced {
  readonly path: string;
  readonly offsetBytes: number;
  readonly before: Buffer;
}

export class SimulatedDisk implements Disposable {
  readonly #home: string;
  readonly #chance: Chance;
  readonly #lying: LyingDisk;
  #generation = 0;
  /** Of disk operations, until the process ends in the middle of one. */
  #crashIn = Number.POSITIVE_INFINITY;
  #crashKind: CrashKind = "kill";
  #isDead = false;
  #unsynced: Unsynced[] = [];
  /** Bytes that are free; null where there is room for all. */
  #spareBytes: number | null = null;
  #isLimited = false;
  /** How many rows had been written when the transaction began. */
  #changesBefore = 0;
  #fsyncFails = false;
  /** The store as it was some commits ago, for a disk that lies. */
  #older: string | null = null;
  #commits = 0;
  readonly #onCrash: () => void;
  readonly #unhook: () => void;

  /** @param onCrash is told when the process ends */
  constructor(chance: Chance, onCrash: () => void, lying: LyingDisk = {}) {
    this.#chance = chance;
    this.#onCrash = onCrash;
    this.#lying = lying;
    this.#home = mkdtempSync(join(existsSync(SHM) ? SHM : tmpdir(), "nightlatch-simulation-"));
    this.#unhook = this.#hook();
  }

  [Symbol.dispose](): void {
    this.#unhook();
    rmSync(this.#home, { recursive: true, force: true });
  }

  /** The server's data folder, as it is since the last crash. */
  get folder(): string {
    return join(this.#home, `${this.#generation}`, "data");
  }

  get isFull(): boolean {
    return this.#spareBytes !== null;
  }

  get isFailing(): boolean {
    return this.#fsyncFails;
  }

  /** The disk is full but for so many bytes; null: there is room again. */
  fill(spareBytes: number | null): void {
    this.#spareBytes = spareBytes;
  }

  /** The next sync of a commit fails, once. */
  failSync(): void {
    this.#fsyncFails = true;
  }

  /** The process ends within the next so many operations on the disk; 0: now. */
  crashWithin(operations: number, kind: CrashKind): void {
    this.#crashKind = kind;
    this.#crashIn = operations === 0 ? 0 : 1 + this.#chance.below(operations);
    if (operations === 0 && !this.#isDead) this.#die(this.#snapshot());
  }

  /** The machine starts again, with what the crash has left. */
  revive(): void {
    this.#isDead = false;
    this.#crashIn = Number.POSITIVE_INFINITY;
    this.#unsynced = [];
    this.#fsyncFails = false;
    mkdirSync(join(this.#home, `${this.#generation}`), { recursive: true, mode: 0o700 });
  }

  /** Each operation on the disk may be the last one. */
  #pass(): void {
    if (this.#isDead) throw new Crash();
    if (--this.#crashIn > 0) return;
    this.#die(this.#snapshot());
    throw new Crash();
  }

  /** Copies what lies on the disk, and tears what was not synced where the power has gone. */
  #snapshot(): string {
    const to = join(this.#home, `${this.#generation + 1}`);
    rmSync(to, { recursive: true, force: true });
    copyTree(join(this.#home, `${this.#generation}`), to);
    if (this.#crashKind === "power") {
      for (const write of [...this.#unsynced].reverse()) this.#tear(write, to);
    }
    return to;
  }

  /** Takes back any of the sectors that were written and not synced. */
  #tear({ path, offsetBytes, before }: Unsynced, to: string): void {
    const descriptor = openSync(join(to, "data", path), "r+");
    for (let at = 0; at < before.length; at += SECTOR_BYTES) {
      if (this.#chance.happens(0.5)) continue;
      const sector = before.subarray(at, at + SECTOR_BYTES);
      writeSync(descriptor, sector, 0, sector.length, offsetBytes + at);
    }
    closeSync(descriptor);
  }

  #die(left: string): void {
    if (this.#lying.losesCommits === true && this.#older !== null && this.#crashKind === "power") {
      rmSync(left, { recursive: true, force: true });
      copyTree(this.#older, left);
    }
    this.#isDead = true;
    this.#generation++;
    this.#onCrash();
  }

  /** Stands between the store and SQLite's commits. */
  #hook(): () => void {
    const { begin, commit } = Sqlite.prototype;
    const disk = this;
    Sqlite.prototype.begin = function (this: Sqlite): void {
      if (disk.#isDead) throw new Crash();
      disk.#limitPages(this);
      begin.call(this);
      disk.#changesBefore = disk.#spareBytes === null ? 0 : changesOf(this);
    };
    Sqlite.prototype.commit = function (this: Sqlite): void {
      disk.#commit(this, () => commit.call(this));
    };
    return () => Object.assign(Sqlite.prototype, { begin, commit });
  }

  /** SQLite finds no page more than the disk has room for. */
  #limitPages(sqlite: Sqlite): void {
    if (this.#spareBytes === null && !this.#isLimited) return;
    this.#isLimited = this.#spareBytes !== null;
    const most = 2 ** 31 - 2;
    const pages = Number(sqlite.pragma("page_count"));
    const limit = this.#spareBytes === null ? most : pages + Math.floor(this.#spareBytes / PAGE_BYTES);
    if (Number(sqlite.pragma("max_page_count")) !== limit) sqlite.pragma(`max_page_count = ${Math.max(1, limit)}`);
  }

  #commit(sqlite: Sqlite, commit: () => void): void {
    if (this.#isDead) throw new Crash();
    if (this.#fsyncFails) {
      this.#fsyncFails = false;
      sqlite.rollback();
      sqlite.guard(() => {
        throw new Database.SqliteError("disk I/O error (SQLITE_IOERR_FSYNC)", "SQLITE_IOERR_FSYNC");
      });
    }
    if (--this.#crashIn > 0) {
      if (this.#spareBytes === null || changesOf(sqlite) === this.#changesBefore) commit();
      else this.#commitInRoom(sqlite, this.#spareBytes, commit);
      if (this.#lying.losesCommits === true && ++this.#commits % 7 === 0) this.#older = this.#keepOlder();
      return;
    }
    const what = this.#chance.pick(this.#crashKind === "kill" ? ["nothing", "all"] : ["nothing", "torn", "all"]);
    if (what === "nothing") this.#die(this.#snapshot());
    else {
      const [wal, store] = [`${join(this.folder, "store.sqlite")}-wal`, join(this.folder, "store.sqlite")];
      const [walBefore, storeBefore] = [contentOf(wal), contentOf(store)];
      commit();
      const left = this.#snapshot();
      // Where SQLite has moved the WAL into the file it has synced the WAL before.
      if (what === "torn" && contentOf(store).equals(storeBefore)) {
        const torn = this.#mix(walBefore, contentOf(wal));
        writeFileSync(join(left, "data", "store.sqlite-wal"), torn, { mode: 0o600 });
      }
      this.#die(left);
    }
    throw new Crash();
  }

  /** What a commit writes has to find room, in the WAL or in the file. */
  #commitInRoom(sqlite: Sqlite, spareBytes: number, commit: () => void): void {
    if (spareBytes < LEAST_COMMIT_BYTES) {
      sqlite.rollback();
      sqlite.guard(() => {
        throw new Database.SqliteError("database or disk is full", "SQLITE_FULL");
      });
    }
    const before = this.#sizeBytes();
    commit();
    this.#spareBytes = Math.max(0, spareBytes - Math.max(LEAST_COMMIT_BYTES, this.#sizeBytes() - before));
  }

  #sizeBytes(): number {
    const store = join(this.folder, "store.sqlite");
    return sizeOf(store) + sizeOf(`${store}-wal`);
  }

  #keepOlder(): string {
    const to = join(this.#home, "older");
    rmSync(to, { recursive: true, force: true });
    copyTree(join(this.#home, `${this.#generation}`), to);
    return to;
  }

  /** Any mixture of the sectors of two contents, and any length between theirs. */
  #mix(before: Buffer, after: Buffer): Buffer {
    const lengthBytes = Math.max(before.length, this.#chance.below(after.length + 1));
    const mixed = Buffer.alloc(lengthBytes);
    before.copy(mixed);
    for (let at = 0; at < lengthBytes; at += SECTOR_BYTES) {
      const end = Math.min(at + SECTOR_BYTES, lengthBytes);
      if (this.#chance.happens(0.6)) after.copy(mixed, at, at, end);
    }
    return mixed;
  }

  /** The port to it. @param nowMs the server's clock @param random what it draws */
  system(nowMs: () => number, random: FolderSystem["random"]): FolderSystem {
    return {
      ...nodeSystem,
      nowMs,
      random,
      freeBytes: async () => this.#spareBytes ?? 1 << 30,
      readFile: async (path, limitBytes) =>
        path.startsWith(this.#home) ? this.#readFile(path) : nodeSystem.readFile(path, limitBytes),
      writeFile: async (path, bytes, mode) => this.#writeFile(path, bytes, mode),
      removeFile: async (path) => this.#removeFile(path),
      listDirectory: async (path) => (existsSync(path) ? readdirSync(path).sort() : []),
      // Whatever takes real time would let the simulated go on meanwhile, now further and now less.
      lock: async (path) => {
        const descriptor = openSync(path, "a", 0o600);
        return { descriptor, [Symbol.asyncDispose]: async () => closeSync(descriptor) };
      },
      openInPlace: async (path, made) => this.#open(await nodeSystem.openInPlace(path, made), path),
    };
  }

  #readFile(path: string): Buffer {
    if (!existsSync(path)) throw new NightlatchError("file/missing", `${path} is not there`);
    return readFileSync(path);
  }

  #writeFile(path: string, bytes: Uint8Array, mode: number): void {
    const isAfter = this.#chance.happens(0.5);
    if (!isAfter) this.#pass();
    this.#take(bytes.length, path);
    writeFileSync(`${path}.simulated`, bytes, { mode });
    renameSync(`${path}.simulated`, path);
    if (isAfter) this.#pass();
  }

  #removeFile(path: string): void {
    this.#pass();
    const freed = existsSync(path) ? statSync(path).size : 0;
    rmSync(path, { force: true });
    if (this.#spareBytes !== null) this.#spareBytes += freed;
  }

  #take(lengthBytes: number, path: string): void {
    if (this.#spareBytes === null) return;
    if (lengthBytes > this.#spareBytes) throw new NightlatchError("file/full", `there is no room for ${path}`);
    this.#spareBytes -= lengthBytes;
  }

  #open(file: InPlaceFile, path: string): InPlaceFile {
    const name = path.slice(path.lastIndexOf("/") + 1);
    return {
      get sizeBytes() {
        return file.sizeBytes;
      },
      read: (offsetBytes, lengthBytes) => file.read(offsetBytes, lengthBytes),
      write: (offsetBytes, bytes) => {
        this.#pass();
        const before = file.read(offsetBytes, bytes.length);
        if (before.length < bytes.length) this.#take(bytes.length - before.length, path);
        this.#unsynced.push({ path: name, offsetBytes, before });
        file.write(offsetBytes, bytes);
      },
      sync: () => {
        this.#pass();
        this.#unsynced = this.#unsynced.filter((write) => write.path !== name);
      },
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  }
}

function changesOf(sqlite: Sqlite): number {
  return Number((sqlite.prepare("select total_changes() as changes").get() as { changes: number }).changes);
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

function contentOf(path: string): Buffer {
  return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
}

function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyTree(source, target);
    else if (entry.name === "ballast")
      linkSync(source, target); // it is only ever replaced
    else if (!entry.name.endsWith("-shm")) copyFileSync(source, target);
  }
}
