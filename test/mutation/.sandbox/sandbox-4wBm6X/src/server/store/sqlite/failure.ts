// @ts-nocheck
import Database from "better-sqlite3";
import { NightlatchError } from "../../../core/errors.ts";

/** The error where another program holds the file. */
export function heldByAnother(path: string): NightlatchError {
  return new NightlatchError("store/busy", `${path} is held by another program`, {
    remedy: "End whatever has the file open for writing (a sqlite3 shell, a backup), and try again.",
  });
}

/**
 * Tells a failure of SQLite as ours: store/full, store/missing, store/damaged, store/busy,
 * store/io.
 * @throws what is no failure of SQLite, as it is
 */
export function failureOf(error: unknown, path: string): NightlatchError {
  if (error instanceof NightlatchError) return error;
  const sqlite = error instanceof Database.SqliteError ? error.code : "";
  if (sqlite === "") throw error;
  if (sqlite === "SQLITE_FULL" || sqlite === "SQLITE_IOERR_SHMSIZE") {
    return new NightlatchError("store/full", `${path} could not be written: no space is left`, {
      meaning: "Nothing of it was recorded, so nothing was released or changed.",
      remedy: "Make room on the file system of the data folder; the server goes on by itself.",
    });
  }
  if (sqlite.startsWith("SQLITE_CANTOPEN")) {
    return new NightlatchError("store/missing", `${path} cannot be opened`, {
      remedy: "Check that the folder is the server's own, that it is mounted, and that you may read it.",
    });
  }
  if (sqlite === "SQLITE_NOTADB" || sqlite.startsWith("SQLITE_CORRUPT") || sqlite.startsWith("SQLITE_CONSTRAINT")) {
    return new NightlatchError("store/damaged", `${path} is damaged (${sqlite})`, {
      meaning: "The server does not use it, so as not to make it worse.",
      remedy: "Keep a copy of the data folder, and restore the store and its master key from the same backup.",
    });
  }
  if (sqlite.startsWith("SQLITE_BUSY") || sqlite.startsWith("SQLITE_LOCKED")) {
    return heldByAnother(path);
  }
  return new NightlatchError("store/io", `${path} could not be read or written (${sqlite})`, {
    meaning: "Nothing was released or changed.",
    remedy: "Check the disk under the data folder (dmesg), then restart the server.",
  });
}
