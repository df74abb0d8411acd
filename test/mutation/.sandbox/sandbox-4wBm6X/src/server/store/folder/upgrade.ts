// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { Secret } from "../../../core/secret.ts";
import type { System } from "../../../system/port.ts";
import { CellFile } from "../keys/cell-file.ts";
import { Cells } from "../keys/cells.ts";
import {
  isReplaceable,
  makeMasterKey,
  NEXT_MASTER_NAME,
  readNextMasterKey,
  removeNextMasterKey,
  replaceMasterKey,
  SEALED_MASTER_PATH,
} from "../keys/master-file.ts";
import { MasterKey } from "../keys/wrap.ts";
import { CELLS_VERSION } from "../sqlite/migrations.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { type FoundStore, isMasterOf, otherMaster, upgradeStore } from "./open.ts";
import { cellsPath } from "./paths.ts";
import { reconcileCells } from "./reconcile.ts";
import { rewrapStore } from "./rewrap.ts";

type UpgradeSystem = Pick<System, "readFile" | "writeFile" | "openInPlace" | "removeFile" | "random" | "nowMs">;

/** The master keys that there are to choose from. */
interface MasterKeys {
  /** The key in master.key. */
  readonly plain: MasterKey | null;
  /** The key that systemd has unsealed. */
  readonly sealed: MasterKey | null;
}

/**
 * Where the master key comes from: `master.key` in the data folder, or systemd, which has unsealed
 * it.
 */
export type MasterSource = "file" | "credential";

/** What opens the keys of a store. */
export interface UnwrappedStore {
  readonly master: MasterKey;
  readonly source: MasterSource;
  /** They have taken over the master key. */
  readonly cells: Cells;
  readonly warnings: readonly string[];
}

/**
 * Finds the master key and the cells that open the store. An older store is brought to this version
 * on the way: docs/format/store.md, "From an older version". Each step can be the last before the
 * power goes.
 * @param keys taken over
 * @param isNew the store was made by this start, or by one that was interrupted
 * @throws NightlatchError store/master-key, store/cells, store/full, store/io, file/*
 */
export async function unwrapStore(
  system: UpgradeSystem,
  folder: string,
  { sqlite, found, keys, isNew }: { sqlite: Sqlite; found: FoundStore; keys: MasterKeys; isNew: boolean },
): Promise<UnwrappedStore> {
  if (found.version >= CELLS_VERSION) {
    const settled = await settleMaster(system, folder, sqlite, found, keys);
    upgradeStore(sqlite, found.version, () => {});
    const file = await openCells(system, folder, found.storeId, isNew);
    const { cells, warnings } = reconcileCells(sqlite, file, settled.master);
    return { ...settled, cells, warnings: [...settled.warnings, ...warnings] };
  }
  const current = keys.plain;
  keys.sealed?.[Symbol.dispose]();
  if (current === null || !isMasterOf(sqlite, found, current)) throw otherMaster();
  const mayReplace = await isReplaceable(system, folder);
  const master = mayReplace ? await nextMaster(system, folder) : copyOf(current);
  const cells = new Cells(await openCells(system, folder, found.storeId, true), master);
  let damaged = 0;
  upgradeStore(sqlite, found.version, () => {
    damaged = rewrapStore(sqlite, { old: current, master, cells, nowMs: system.nowMs() });
  });
  current[Symbol.dispose]();
  if (mayReplace) await replaceMasterKey(system, folder, master);
  const warnings = [mayReplace ? REPLACED : kept(folder)];
  if (damaged > 0)
    warnings.push(`${damaged} keys did not open before, and do not now: nightlatch audit verify tells more.`);
  return { master, source: "file", cells, warnings };
}

/** Chooses the master key of a store of this version. The sealed one comes first. */
async function settleMaster(
  system: UpgradeSystem,
  folder: string,
  sqlite: Sqlite,
  found: FoundStore,
  { plain: current, sealed }: MasterKeys,
): Promise<Omit<UnwrappedStore, "cells">> {
  const warnings: string[] = [];
  if (sealed !== null && isMasterOf(sqlite, found, sealed)) {
    if (current !== null) warnings.push(plainStays(folder));
    current?.[Symbol.dispose]();
    return { master: sealed, source: "credential", warnings };
  }
  if (sealed !== null) warnings.push(OTHER_SEALED);
  sealed?.[Symbol.dispose]();
  if (current === null) throw otherMaster();
  const master = await settlePlain(system, folder, sqlite, found, current);
  return { master, source: "file", warnings };
}

/**
 * Takes the master key in the folder. A replacement that was interrupted after its commit is
 * finished.
 */
async function settlePlain(
  system: UpgradeSystem,
  folder: string,
  sqlite: Sqlite,
  found: FoundStore,
  current: MasterKey,
): Promise<MasterKey> {
  const next = await readNextMasterKey(system, folder);
  if (isMasterOf(sqlite, found, current)) {
    next?.[Symbol.dispose]();
    await removeNextMasterKey(system, folder);
    return current;
  }
  current[Symbol.dispose]();
  if (next === null || !isMasterOf(sqlite, found, next)) throw otherMaster();
  await replaceMasterKey(system, folder, next);
  return next;
}

async function nextMaster(system: UpgradeSystem, folder: string): Promise<MasterKey> {
  const made = await readNextMasterKey(system, folder);
  if (made !== null) return made;
  await makeMasterKey(system, `${folder}/${NEXT_MASTER_NAME}`);
  const next = await readNextMasterKey(system, folder);
  if (next === null)
    throw new NightlatchError("file/io", `${folder}/${NEXT_MASTER_NAME} does not hold what was written`);
  return next;
}

async function openCells(system: UpgradeSystem, folder: string, storeId: string, mayMake: boolean): Promise<CellFile> {
  const path = cellsPath(folder);
  try {
    const file = await system.openInPlace(path, ...(mayMake ? [0o600] : []));
    try {
      return CellFile.open(file, storeId, { random: system.random, mayMake });
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    if (!isError(error, "file/missing")) throw error;
    throw new NightlatchError("store/cells", `${path} is missing`, {
      meaning: "Without its cells no key in the store can be used. Nothing was started, nothing was changed.",
      remedy: `Restore ${path} from a backup.`,
    });
  }
}

function copyOf(key: MasterKey): MasterKey {
  return new MasterKey(Secret.copy(key.reveal()));
}

const REPLACED =
  "the store was brought to a new format, its master key was made anew and a file of cells beside it. Make a new backup of the whole " +
  "folder, and destroy the older ones: they open with the older master key what is revoked from now on.";

const OTHER_SEALED =
  `the sealed master key (${SEALED_MASTER_PATH}) is not the one of this store, and was not used: remove it, and seal this one: ` +
  "nightlatch store seal";

function plainStays(folder: string): string {
  return (
    `the sealed master key is in use, but ${folder}/master.key still lies beside the store: whoever takes the disk has it. Copy it to a ` +
    "safe place away from this machine, then run nightlatch store seal --remove-plain"
  );
}

function kept(folder: string): string {
  return (
    `the store was brought to a new format with a file of cells. ${folder}/master.key cannot be written and was kept: older copies of ` +
    "what it wrapped, in backups or in free blocks of the disk, can still be opened with it, whatever is revoked."
  );
}
