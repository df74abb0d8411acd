// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { isError, NightlatchError } from "../../../core/errors.ts";
import type { Cells } from "../keys/cells.ts";
import { readSealedMasterKey } from "../keys/master-file.ts";
import type { MasterKey } from "../keys/wrap.ts";
import { Sqlite } from "../sqlite/sqlite.ts";
import { Ballast } from "./ballast.ts";
import { EmbeddedStore } from "./embedded.ts";
import { lockFolder } from "./lock.ts";
import { readMedium, warnOfMedium } from "./medium.ts";
import { createStore, findStore, openStore } from "./open.ts";
import { beginOpening, type FolderOpening, type FolderOptions, type FolderSystem, prepareFiles } from "./opening.ts";
import { cellsPath, lockPath, storePath } from "./paths.ts";
import { isFirstStart, planOpening } from "./plan.ts";
import { requirePrivate } from "./private-files.ts";
import { type RecordFile, recordPaths, warnOfRecord } from "./record.ts";
import { settleRollback } from "./rollback.ts";
import { surveyFolder } from "./survey.ts";
import { type MasterSource, type UnwrappedStore, unwrapStore } from "./upgrade.ts";
import { openWitnessKey } from "./witness-key.ts";

/** A store that is open, and what a start found out about it. */
export interface OpenedStore {
  readonly store: EmbeddedStore;
  readonly storeId: string;
  /** The store's: it gives them up when it is closed. */
  readonly cells: Cells;
  readonly masterSource: MasterSource;
  /** The server's Ed25519 identity. */
  readonly identity: KeyObject;
  /** The key that it cosigns the logs of others with, Ed25519 too. */
  readonly witnessKey: KeyObject;
  /** True where this start made the store. */
  readonly created: boolean;
  /** What an operator should know, a sentence or more each. */
  readonly warnings: readonly string[];
}

/**
 * Opens the server's data folder for this process alone, and makes the store where there never was
 * one. Each step can be the last before the power goes: the record says `creating` until all of the
 * store is there.
 * @throws NightlatchError store/*, file/*
 */
export async function openFolder(system: FolderSystem, folder: string, options: FolderOptions): Promise<OpenedStore> {
  const sealed = await readSealedMasterKey(system, options.credentials);
  // What is to be refused is, before anything is written, the lock included.
  planOpening(await surveyFolder(system, folder, sealed !== null));
  await system.makeDirectory(folder, 0o700);
  await requirePrivate(system, folder, options.uid);
  const lock = await lockFolder(system, lockPath(folder));
  try {
    const opening = await beginOpening(system, folder, options, sealed);
    const plain = await prepareFiles(opening);
    return await openFiles(opening, plain, lock);
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw isError(error, "file/full") ? noRoom(error) : error;
  }
}

/** Opens the store's file, and closes it again where what is in it cannot be used. */
async function openFiles(opening: FolderOpening, plain: MasterKey | null, lock: AsyncDisposable): Promise<OpenedStore> {
  const sqlite = new Sqlite(storePath(opening.folder));
  try {
    const tables = await openTables(opening, sqlite, plain);
    return await takeIntoUse(opening, sqlite, tables, lock);
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** A store whose keys open. */
interface OpenTables extends UnwrappedStore {
  readonly storeId: string;
  readonly identity: KeyObject;
}

/** Fills the tables at a first start, brings older ones to this version, and opens their keys. */
async function openTables(opening: FolderOpening, sqlite: Sqlite, plain: MasterKey | null): Promise<OpenTables> {
  const { system, folder, facts, record, sealed } = opening;
  const isFirst = isFirstStart(opening.plan);
  if (isFirst && plain !== null) {
    await createStore(sqlite, { storeId: record.store, master: plain, atMs: system.nowMs() });
  }
  const found = findStore(sqlite);
  const { storeId } = found;
  if (facts.record !== null && storeId !== record.store) throw otherStore(folder, storeId, record.store);
  const keys = { plain, sealed };
  const unwrapped = await unwrapStore(system, folder, { sqlite, found, keys, isNew: isFirst });
  return { ...unwrapped, storeId, identity: await openStore(sqlite, unwrapped.master) };
}

/**
 * Holds the store to its record, finishes what a crash has left, and brings the record up to date.
 */
async function takeIntoUse(
  opening: FolderOpening,
  sqlite: Sqlite,
  { storeId, identity, master, cells, source, warnings }: OpenTables,
  lock: AsyncDisposable,
): Promise<OpenedStore> {
  const { system, folder, options, plan, recordFile } = opening;
  const { reached } = opening.record;
  const rollback = await settleRollback(sqlite, { storeId, key: identity }, reached, {
    system,
    folder,
    recordPath: recordFile.path,
    mayAccept: options.acceptRollback === true,
  });
  const witnessKey = openWitnessKey(sqlite, storeId, master); // an older copy has lost its own
  const ballast = new Ballast(system, folder);
  const store = new EmbeddedStore(sqlite, storeId, {
    lock,
    recorded: rollback.isOlder ? null : reached,
    record: (next) => recordFile.write({ store: storeId, state: "ready", reached: next }),
    ballast,
    cells,
  });
  await store.scrub(); // a crash may have left what was destroyed
  const stale = await bringRecordUp(store, recordFile, plan === "open" && !rollback.isOlder);
  await ballast.find(); // last: what a start needs comes first
  const medium = warnOfMedium(cellsPath(folder), await readMedium(system, cellsPath(folder)));
  const found = [
    rollback.warning,
    plan === "adopt" ? adopted(folder) : null,
    stale,
    warnOfRecord(folder, recordFile.path),
    medium,
  ].filter((text) => text !== null);
  return {
    store,
    storeId,
    cells,
    masterSource: source,
    identity,
    witnessKey,
    created: isFirstStart(plan),
    warnings: [...warnings, ...found],
  };
}

/**
 * Records how far the log has come.
 * @param mayStale the record on the disk is right, if old: then a warning is given where it cannot
 *   be written
 * @returns the warning, or null
 */
async function bringRecordUp(store: EmbeddedStore, recordFile: RecordFile, mayStale: boolean): Promise<string | null> {
  try {
    await store.recordProgress();
    return null;
  } catch (error) {
    if (!mayStale || !isError(error)) throw error;
    return `${recordFile.path} could not be brought up to date: ${error.message}`;
  }
}

function adopted(folder: string): string {
  return (
    `${folder} held a store that was not known here; it is now. Should it be an older copy of a store, machines that were locked ` +
    "or revoked since it was made must be locked or revoked again."
  );
}

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
