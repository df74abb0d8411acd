import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { toBase64url } from "../../../core/bytes.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { findFlaw } from "../../../core/ownership.ts";
import { Secret } from "../../../core/secret.ts";
import type { System } from "../../../system/port.ts";
import type { Cells } from "../keys/cells.ts";
import {
  MASTER_NAME,
  makeMasterKey,
  NEXT_MASTER_NAME,
  readMasterKey,
  readPlainMasterKey,
  readSealedMasterKey,
} from "../keys/master-file.ts";
import { EmbeddedStore } from "../sqlite/embedded.ts";
import { Sqlite } from "../sqlite/sqlite.ts";
import { CELLS_NAME, type MasterSource, unwrapStore } from "../sqlite/upgrade.ts";
import { BALLAST_NAME, Ballast } from "./ballast.ts";
import { lockFolder } from "./lock.ts";
import { readMedium, warnOfMedium } from "./medium.ts";
import { createStore, findStore, openStore } from "./open.ts";
import { type FolderFacts, planOpening } from "./plan.ts";
import {
  type Reached,
  readRecord,
  recordPaths,
  STORE_ID_BYTES,
  type StoreRecord,
  warnOfRecord,
  writeRecord,
} from "./record.ts";
import { hasGrownFrom, recordRollback, rolledBack } from "./rollback.ts";

export type FolderSystem = Pick<
  System,
  | "readFile"
  | "writeFile"
  | "openInPlace"
  | "removeFile"
  | "stat"
  | "lstat"
  | "freeBytes"
  | "listDirectory"
  | "makeDirectory"
  | "lock"
  | "random"
  | "nowMs"
>;

export interface OpenedStore {
  readonly store: EmbeddedStore;
  readonly storeId: string;
  /** The store's: it gives them up when it is closed. */
  readonly cells: Cells;
  readonly masterSource: MasterSource;
  /** The server's Ed25519 identity. */
  readonly identity: KeyObject;
  /** True where this start made the store. */
  readonly created: boolean;
  readonly warnings: readonly string[];
}

export interface FolderOwner {
  readonly uid: number;
  readonly acceptRollback?: boolean;
  /** Folder of what systemd has unsealed for this process: systemd.exec(5), $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string | undefined;
}

const STORE = "store.sqlite";
const LOCK = "lock";
/** Ours, or a file system's own. */
const KNOWN = [
  ...[STORE, `${STORE}-wal`, `${STORE}-shm`, MASTER_NAME, NEXT_MASTER_NAME, CELLS_NAME],
  ...[LOCK, "store.id", BALLAST_NAME, "lost+found"],
];

export function storePath(folder: string): string {
  return `${folder}/${STORE}`;
}

/**
 * Opens the server's data folder for this process alone, making the store where there never was one.
 * Every step of the making can be the last before the power goes: the record says `creating` until all of it is there.
 * @param owner.uid whose files these must be
 * @param owner.credentials may hold the master key
 * @param owner.acceptRollback takes an older copy of the store into use, and says so in its log
 * @throws NightlatchError store/*, file/*
 */
export async function openFolder(system: FolderSystem, folder: string, owner: FolderOwner): Promise<OpenedStore> {
  const { uid } = owner;
  const sealed = await readSealedMasterKey(system, owner.credentials);
  planOpening(await survey(system, folder, sealed !== null)); // refuses before anything is written, the lock included
  await system.makeDirectory(folder, 0o700);
  await requirePrivate(system, folder, uid);
  const lock = await lockFolder(system, `${folder}/${LOCK}`);
  let sqlite: Sqlite | undefined;
  try {
    const facts = await survey(system, folder, sealed !== null);
    const plan = planOpening(facts);
    const warnings: string[] = [];
    const record: StoreRecord = facts.record ?? {
      store: toBase64url(system.random(STORE_ID_BYTES)),
      state: "creating",
      reached: null,
    };
    let recordPath = facts.recordPath;
    const write = async (next: StoreRecord) => {
      recordPath = await writeRecord(system, folder, next);
    };
    if (plan === "create") await write(record);
    const isNew = plan === "create" || plan === "resume";
    const masterPath = `${folder}/${MASTER_NAME}`;
    if (isNew && !facts.hasMasterKey) await makeMasterKey(system, masterPath);
    for (const name of [MASTER_NAME, CELLS_NAME]) await requirePrivate(system, `${folder}/${name}`, uid);
    const plain =
      sealed === null || isNew ? await readMasterKey(system, masterPath) : await readPlainMasterKey(system, folder);
    // SQLite gives the files that it makes beside it the same mode.
    if (isNew && !facts.hasStore) await system.writeFile(storePath(folder), new Uint8Array(), 0o600);
    await requireOwnFile(system, storePath(folder));
    await requirePrivate(system, storePath(folder), uid);
    sqlite = new Sqlite(storePath(folder));
    if (isNew && plain !== null) {
      const first = { storeId: record.store, master: plain, identity: newIdentity(), atMs: system.nowMs() };
      await createStore(sqlite, first);
    }
    const found = findStore(sqlite);
    const { storeId } = found;
    if (facts.record !== null && storeId !== record.store) throw otherStore(folder, storeId, record.store);
    const unwrapped = await unwrapStore(system, folder, { sqlite, found, keys: { plain, sealed }, isNew });
    const { cells, source: masterSource } = unwrapped;
    warnings.push(...unwrapped.warnings);
    const identity = await openStore(sqlite, unwrapped.master);
    const signer = { storeId, key: identity };
    const { reached } = record;
    const isOlder = reached !== null && !hasGrownFrom(sqlite, signer, reached);
    if (isOlder) {
      if (owner.acceptRollback !== true) throw rolledBack(folder, recordPath, reached);
      await recordRollback(sqlite, signer, reached, system.nowMs());
      warnings.push(accepted(reached));
    }
    if (owner.acceptRollback === true && !isOlder) warnings.push(NOTHING_TO_ACCEPT);
    if (plan === "adopt") warnings.push(adopted(folder));
    const note = (next: Reached) => write({ store: storeId, state: "ready", reached: next });
    const ballast = new Ballast(system, folder);
    const noted = isOlder ? null : reached;
    const store = new EmbeddedStore(sqlite, storeId, { lock, noted, note, ballast, cells });
    await store.scrub(); // a crash may have left what was destroyed
    await store.witness().catch((error: unknown) => {
      if (plan !== "open" || isOlder || !isError(error)) throw error;
      warnings.push(`${recordPath} could not be brought up to date: ${error.message}`);
    });
    await ballast.find(); // last: what a start needs comes first
    const cellsPath = `${folder}/${CELLS_NAME}`;
    const weaker = [warnOfRecord(folder, recordPath), warnOfMedium(cellsPath, await readMedium(system, cellsPath))];
    warnings.push(...weaker.filter((text) => text !== null));
    return { store, storeId, cells, masterSource, identity, created: isNew, warnings };
  } catch (error) {
    sqlite?.close();
    await lock[Symbol.asyncDispose]();
    throw isError(error, "file/full") ? noRoom(error) : error;
  }
}

async function survey(system: FolderSystem, folder: string, hasSealedMasterKey: boolean): Promise<FolderFacts> {
  const found = await readRecord(system, folder);
  const names = await system.listDirectory(folder);
  return {
    folder,
    recordPath: found?.path ?? recordPaths(folder).beside,
    record: found?.record ?? null,
    hasStore: names.includes(STORE),
    hasMasterKey: names.includes(MASTER_NAME),
    hasSealedMasterKey,
    strangers: names.filter((name) => !KNOWN.includes(name)),
  };
}

/** Keys lie here: nobody else may read or replace them. An absent path is fine. */
async function requirePrivate(system: FolderSystem, path: string, uid: number): Promise<void> {
  const facts = await system.stat(path);
  if (facts === null) return;
  const flaw = findFlaw(facts, [uid], true);
  if (flaw === null) return;
  if (flaw === "owner") {
    throw new NightlatchError("store/permissions", `${path} belongs to user ${facts.uid}, this server runs as ${uid}`, {
      meaning: "Nothing was started, nothing was changed.",
      remedy: `Run the server as user ${facts.uid}, or give the files to it: chown -R ${uid} ${path}`,
    });
  }
  throw new NightlatchError("store/permissions", `${path} is open to other users (mode ${facts.mode.toString(8)})`, {
    meaning: "Others may have read the keys in it. Nothing was started, nothing was changed.",
    remedy: `If nobody else could reach it: chmod go= ${path}`,
  });
}

/** SQLite would follow a link, and lay its WAL, with keys in it, beside whatever that leads to. */
async function requireOwnFile(system: Pick<System, "lstat">, path: string): Promise<void> {
  if ((await system.lstat(path))?.kind !== "link") return;
  throw new NightlatchError("store/permissions", `${path} is a symbolic link`, {
    meaning:
      "What it leads to is outside of the folder that is kept private. Nothing was started, nothing was changed.",
    remedy: "Put the store itself in its place, or name the folder that it lies in with --data.",
  });
}

function newIdentity(): Secret {
  return Secret.take(generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }));
}

function adopted(folder: string): string {
  return (
    `${folder} held a store that was not known here; it is now. Should it be an older copy of a store, machines that were locked ` +
    "or revoked since it was made must be locked or revoked again."
  );
}

function accepted({ size }: Reached): string {
  return (
    `an older copy of the store was taken into use, as --accept-rollback said; its log had come to ${size} entries. Lock or ` +
    "revoke again every machine that was locked or revoked since the copy was made: nightlatch machine list shows what it knows."
  );
}

const NOTHING_TO_ACCEPT =
  "the store is no older copy, so --accept-rollback accepted nothing: leave it off, or the next older copy will not be noticed.";

function noRoom(error: NightlatchError): NightlatchError {
  return new NightlatchError("store/full", error.message, {
    meaning: "The server was not started; what there was is as it was.",
    remedy: "Make room on the file system of the data folder, and start it again.",
  });
}

function otherStore(folder: string, found: string, expected: string): NightlatchError {
  return new NightlatchError("store/other", `${folder} holds the store ${found}, this server had ${expected}`, {
    meaning: "Another store is mounted or was copied there. Nothing was started, nothing was changed.",
    remedy: `Mount or restore the right one; or, if this is the one to use from now on, remove ${recordPaths(folder).beside}.`,
  });
}
