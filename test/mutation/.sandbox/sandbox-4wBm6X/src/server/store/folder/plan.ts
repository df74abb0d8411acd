// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { SEALED_MASTER_PATH } from "../keys/master-file.ts";
import type { StoreRecord } from "./record.ts";

/** What lies in and beside the data folder, before anything is opened. */
export interface FolderFacts {
  readonly folder: string;
  /** Where the record lies, or would. */
  readonly recordPath: string;
  readonly record: StoreRecord | null;
  readonly hasStore: boolean;
  readonly hasMasterKey: boolean;
  /** Whether systemd has passed one to this process. */
  readonly hasSealedMasterKey: boolean;
  /** Names that are none of ours. */
  readonly strangers: readonly string[];
}

/** Whether the store is made by this start, or by one that was interrupted. */
export function isFirstStart(plan: OpenPlan): boolean {
  return plan === "create" || plan === "resume";
}

/**
 * What a start does with the folder. `resume`: the first start was interrupted before the store was
 * complete. `adopt`: the store is whole and its record is missing.
 */
export type OpenPlan = "create" | "resume" | "open" | "adopt";

/**
 * Plans what a start does with the folder. Keys are made only where there never was a store: a key
 * server that comes up empty and makes new keys leaves every machine locked out without a word.
 * @throws NightlatchError store/missing, store/master-key, store/not-empty
 */
export function planOpening(facts: FolderFacts): OpenPlan {
  const { folder, record, hasStore, hasMasterKey, hasSealedMasterKey, strangers } = facts;
  if (record?.state === "creating") return "resume";
  if (hasStore && !hasMasterKey && !hasSealedMasterKey) {
    throw new NightlatchError(
      "store/master-key",
      `${folder} holds a store, but its master key (master.key) is missing`,
      {
        meaning: "Without it no key in the store can be used. Nothing was started, nothing was changed.",
        remedy: `Restore ${folder}/master.key from a backup; or, if it was sealed, ${SEALED_MASTER_PATH}, on the machine that sealed it.`,
      },
    );
  }
  if (hasStore) return record === null ? "adopt" : "open";
  if (record !== null) {
    throw new NightlatchError("store/missing", `the store ${record.store} is gone: ${folder} does not hold it`, {
      meaning: "No new one was made: new keys would open none of the machines that the old one holds.",
      remedy:
        `Check that the file system of ${folder} is mounted, or restore the folder from a backup. ` +
        `To begin anew, and give up every latch of the old store, remove ${facts.recordPath}.`,
    });
  }
  if (hasMasterKey) {
    throw new NightlatchError("store/missing", `${folder} holds a master key but no store`, {
      meaning: "No new store was made: the old one may be missing.",
      remedy: `Restore ${folder}/store.sqlite from a backup, or give an empty folder with --data.`,
    });
  }
  if (hasSealedMasterKey) {
    throw new NightlatchError("store/missing", `there is a sealed master key, but ${folder} holds no store`, {
      meaning: "No new store was made: the old one may be missing.",
      remedy: `Check that the file system of ${folder} is mounted. To begin anew, remove ${SEALED_MASTER_PATH}.`,
    });
  }
  if (strangers.length > 0) {
    throw new NightlatchError("store/not-empty", `${folder} holds other files (${strangers.slice(0, 3).join(", ")})`, {
      meaning: "Nothing was started, nothing was changed.",
      remedy: "Give an empty folder, or one that does not exist, with --data.",
    });
  }
  return "create";
}
