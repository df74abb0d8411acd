// @ts-nocheck
import { MASTER_NAME, NEXT_MASTER_NAME } from "../keys/master-file.ts";
import { BALLAST_NAME } from "./ballast.ts";
import { INSIDE_NAME } from "./record.ts";

/** The name of the store in a data folder. */
export const STORE_NAME = "store.sqlite";
const CELLS_NAME = "cells";
const LOCK_NAME = "lock";

/** What may lie in a data folder: ours, or a file system's own. */
export const KNOWN_NAMES: readonly string[] = [
  ...[STORE_NAME, `${STORE_NAME}-wal`, `${STORE_NAME}-shm`, MASTER_NAME, NEXT_MASTER_NAME, CELLS_NAME],
  ...[LOCK_NAME, INSIDE_NAME, BALLAST_NAME, "lost+found"],
];

/** Where the store lies in a data folder. */
export function storePath(folder: string): string {
  return `${folder}/${STORE_NAME}`;
}

/** Where the cells lie in a data folder. */
export function cellsPath(folder: string): string {
  return `${folder}/${CELLS_NAME}`;
}

/** Where the lock of a data folder lies. */
export function lockPath(folder: string): string {
  return `${folder}/${LOCK_NAME}`;
}
