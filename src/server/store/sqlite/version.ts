import { NightlatchError } from "../../../core/errors.ts";
import { APPLICATION_ID, MIGRATIONS } from "./migrations.ts";
import type { Sqlite } from "./sqlite.ts";

/**
 * The version of a store's tables; null where the file is empty or no store.
 * @throws NightlatchError store/newer
 */
export function readVersion(sqlite: Sqlite): number | null {
  const version = sqlite.pragma("user_version");
  if (typeof version !== "number" || version === 0 || sqlite.pragma("application_id") !== APPLICATION_ID) return null;
  if (version <= MIGRATIONS.length) return version;
  const message = `the store has format ${version}, this version knows up to ${MIGRATIONS.length}`;
  throw new NightlatchError("store/newer", message, {
    meaning: "A newer version of Nightlatch has used it. Nothing was started, nothing was changed.",
    remedy: "Install that version again, or restore a backup from before the upgrade.",
  });
}

/**
 * Finds a store whose tables are of this version, for whoever only reads.
 * @throws NightlatchError store/older, store/newer, store/damaged
 */
export function requireThisVersion(sqlite: Sqlite): void {
  const version = readVersion(sqlite);
  if (version === MIGRATIONS.length) return;
  if (version === null)
    throw new NightlatchError("store/damaged", "the store is damaged: it is empty, or not a store of Nightlatch", {
      meaning: "Nothing was read, and nothing was changed.",
      remedy: "Name the server's data folder with --data, or restore the folder from a backup.",
    });
  const message = `the store has format ${version}, and is read in format ${MIGRATIONS.length} alone`;
  throw new NightlatchError("store/older", message, {
    meaning: "An older version of Nightlatch has used it last. Nothing is known to be wrong with it.",
    remedy: "Start this version's server on it, which brings it up to date, or use the version that wrote it.",
  });
}
