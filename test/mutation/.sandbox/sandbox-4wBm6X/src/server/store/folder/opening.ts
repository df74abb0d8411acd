// @ts-nocheck
import type { System } from "../../../system/port.ts";
import { makeMasterKey, masterPath, readMasterKey, readPlainMasterKey } from "../keys/master-file.ts";
import type { MasterKey } from "../keys/wrap.ts";
import { cellsPath, storePath } from "./paths.ts";
import { type FolderFacts, isFirstStart, type OpenPlan, planOpening } from "./plan.ts";
import { requireOwnFile, requirePrivate } from "./private-files.ts";
import { newRecord, RecordFile, type StoreRecord } from "./record.ts";
import { surveyFolder } from "./survey.ts";

/** What a data folder takes of the system. */
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

/** How a data folder is opened. */
export interface FolderOptions {
  /** Whose files these must be. */
  readonly uid: number;
  /** Takes an older copy of the store into use, and says so in its log. */
  readonly acceptRollback?: boolean;
  /**
   * Folder of what systemd has unsealed for this process, which may hold the master key:
   * systemd.exec(5), $CREDENTIALS_DIRECTORY.
   */
  readonly credentials?: string | undefined;
}

/** A start whose folder is locked, and whose plan is made. */
export interface FolderOpening {
  readonly system: FolderSystem;
  readonly folder: string;
  readonly options: FolderOptions;
  /** The master key that systemd has unsealed; null where it has not. */
  readonly sealed: MasterKey | null;
  readonly facts: FolderFacts;
  readonly plan: OpenPlan;
  /** The record as it is, or as a first start begins it. */
  readonly record: StoreRecord;
  readonly recordFile: RecordFile;
}

/** Makes the plan under the lock. A first start has its record on the disk before anything else. */
export async function beginOpening(
  system: FolderSystem,
  folder: string,
  options: FolderOptions,
  sealed: MasterKey | null,
): Promise<FolderOpening> {
  const facts = await surveyFolder(system, folder, sealed !== null);
  const plan = planOpening(facts);
  const record = facts.record ?? newRecord(system);
  const recordFile = new RecordFile(system, folder, facts.recordPath);
  if (plan === "create") await recordFile.write(record);
  return { system, folder, options, sealed, facts, plan, record, recordFile };
}

/**
 * Makes the files that a first start has not made yet, and refuses those that others could read or
 * replace.
 * @returns the master key in the folder; null where there is none and the sealed one has to do
 */
export async function prepareFiles(opening: FolderOpening): Promise<MasterKey | null> {
  const { system, folder, facts, sealed } = opening;
  const { uid } = opening.options;
  const isFirst = isFirstStart(opening.plan);
  const [master, store] = [masterPath(folder), storePath(folder)];
  if (isFirst && !facts.hasMasterKey) await makeMasterKey(system, master);
  for (const path of [master, cellsPath(folder)]) await requirePrivate(system, path, uid);
  const plain =
    sealed === null || isFirst ? await readMasterKey(system, master) : await readPlainMasterKey(system, folder);
  // SQLite gives the files that it makes beside it the same mode.
  if (isFirst && !facts.hasStore) await system.writeFile(store, new Uint8Array(), 0o600);
  await requireOwnFile(system, store);
  await requirePrivate(system, store, uid);
  return plain;
}
