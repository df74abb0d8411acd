// @ts-nocheck
import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { isSignedCheckpoint, originOf } from "../../../formats/log/note.ts";
import type { System } from "../../../system/port.ts";
import { appendEntries, type LogSigner } from "../../audit/log.ts";
import { columnsOfLease } from "../sqlite/lease-columns.ts";
import { SqliteLog } from "../sqlite/log.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import type { Reached } from "./record.ts";

/**
 * Holds the store to how far its record says that the log has come. An older copy is refused, or
 * taken into use and the log told of it.
 * @param reached null where the record says nothing of it: then nothing is known of an older copy
 * @returns whether it is an older copy, and what an operator should know, null where nothing
 * @throws NightlatchError store/rolled-back
 */
export async function settleRollback(
  sqlite: Sqlite,
  signer: LogSigner,
  reached: Reached | null,
  start: {
    readonly system: Pick<System, "nowMs">;
    readonly folder: string;
    readonly recordPath: string;
    /** The operator has said that an older copy is to be used. */
    readonly mayAccept: boolean;
  },
): Promise<{ readonly isOlder: boolean; readonly warning: string | null }> {
  if (reached === null || hasGrownFrom(sqlite, signer, reached)) {
    return { isOlder: false, warning: start.mayAccept ? NOTHING_TO_ACCEPT : null };
  }
  if (!start.mayAccept) throw rolledBack(start.folder, start.recordPath, reached);
  await recordRollback(sqlite, signer, reached, start.system.nowMs());
  return { isOlder: true, warning: accepted(reached) };
}

/**
 * Whether the log has been at that place: the checkpoint of that size, which its server signed, has
 * that root. One is signed with every commit, and the record is only ever written of a commit. So
 * there is one where the store is the one that was recorded.
 */
function hasGrownFrom(sqlite: Sqlite, { storeId, key }: LogSigner, { size, root }: Reached): boolean {
  const row = sqlite.first(query.selectFrom("checkpoint").selectAll().where("size", "=", size));
  if (row === null || !row.root.equals(root)) return false;
  return isSignedCheckpoint({ origin: originOf(storeId), ...row }, createPublicKey(key));
}

/**
 * Puts into the log that an older copy was knowingly taken into use. Its leases are void, and its
 * requests: the copy does not know which latches have been released in them since, nor what became
 * of those. The windows of its sites are holds again. Its key as a witness is gone.
 */
async function recordRollback(sqlite: Sqlite, signer: LogSigner, { size, root }: Reached, atMs: number): Promise<void> {
  const entry = { kind: "rollback", at: atMs, size, root: root.toString("base64") } as const;
  sqlite.begin();
  try {
    const log = new SqliteLog(sqlite, signer.storeId);
    const { size: number } = await log.tree();
    await appendEntries(log, [entry], signer);
    sqlite.run(query.insertInto("rollback").values({ entry: number }));
    sqlite.run(query.updateTable("machine").set(columnsOfLease(null)));
    sqlite.run(query.deleteFrom("request"));
    // It does not know what it has cosigned since, so the key that did is used no more.
    sqlite.run(query.updateTable("store").set({ witness: null, wrapped_witness: null }));
    const noWindow = { site_until: null, site_saved: null, site_made_at: null, site_count: null, site_per: null };
    sqlite.run(
      query
        .updateTable("machine_group")
        .set({ site: "held", ...noWindow })
        .where("site", "=", "open"),
    );
    sqlite.commit();
  } catch (error) {
    sqlite.rollback();
    throw error;
  }
}

function rolledBack(folder: string, recordPath: string, { size }: Reached): NightlatchError {
  return new NightlatchError(
    "store/rolled-back",
    `${folder} holds an older copy of its store: the log had come to ${size} entries, and this one has not grown from there`,
    {
      meaning:
        "What was locked or revoked since the copy was made would be released again. Nothing was started, nothing was changed. " +
        `What there was is noted in ${recordPath}.`,
      remedy:
        "Put the latest store back. If it is lost, start once with nightlatch serve --accept-rollback, and then lock or revoke " +
        "again every machine that was locked or revoked since the copy was made, and bind again what was bound since.",
    },
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
