import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { appendEntries, type LogSigner } from "../../audit/log.ts";
import { isSignedCheckpoint, originOf } from "../../audit/note.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { SqliteTransaction } from "../sqlite/transaction.ts";
import type { Reached } from "./record.ts";

/**
 * Whether the log has been at that place: the checkpoint of that size, which its server signed, has that root. One is signed with
 * every commit, and the record is only ever written of a commit, so there is one where the store is the one that was recorded.
 */
export function hasGrownFrom(sqlite: Sqlite, { storeId, key }: LogSigner, { size, root }: Reached): boolean {
  const row = sqlite.first(query.selectFrom("checkpoint").selectAll().where("size", "=", size));
  if (row === null || !row.root.equals(root)) return false;
  return isSignedCheckpoint({ origin: originOf(storeId), ...row }, createPublicKey(key));
}

/** Notes in the log that an older copy was taken into use knowingly. */
export async function recordRollback(
  sqlite: Sqlite,
  signer: LogSigner,
  { size, root }: Reached,
  atMs: number,
): Promise<void> {
  const entry = { kind: "rollback", at: atMs, size, root: root.toString("base64") } as const;
  sqlite.begin();
  try {
    await appendEntries(new SqliteTransaction(sqlite, signer.storeId), [entry], signer);
    sqlite.commit();
  } catch (error) {
    sqlite.rollback();
    throw error;
  }
}

export function rolledBack(folder: string, recordPath: string, { size }: Reached): NightlatchError {
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
