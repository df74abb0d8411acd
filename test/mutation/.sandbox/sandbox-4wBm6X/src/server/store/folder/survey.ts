// @ts-nocheck
import type { System } from "../../../system/port.ts";
import { MASTER_NAME } from "../keys/master-file.ts";
import { KNOWN_NAMES, STORE_NAME } from "./paths.ts";
import type { FolderFacts } from "./plan.ts";
import { readRecord, recordPaths } from "./record.ts";

/**
 * Looks at what lies in and beside the data folder, and writes nothing.
 * @param hasSealedMasterKey systemd has passed a master key to this process
 * @throws NightlatchError store/damaged, file/*
 */
export async function surveyFolder(
  system: Pick<System, "readFile" | "stat" | "listDirectory">,
  folder: string,
  hasSealedMasterKey: boolean,
): Promise<FolderFacts> {
  const found = await readRecord(system, folder);
  const names = await system.listDirectory(folder);
  return {
    folder,
    recordPath: found?.path ?? recordPaths(folder).beside,
    record: found?.record ?? null,
    hasStore: names.includes(STORE_NAME),
    hasMasterKey: names.includes(MASTER_NAME),
    hasSealedMasterKey,
    strangers: names.filter((name) => !KNOWN_NAMES.includes(name)),
  };
}
