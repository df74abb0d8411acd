// @ts-nocheck
import { createPublicKey, type KeyObject } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { rawKey } from "../../../formats/log/note.ts";
import type { MasterKey, WrapContext } from "../keys/wrap.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { importIdentity, newIdentity } from "./open.ts";

/**
 * Opens the key that this server cosigns the logs of others with. It is made where there is none:
 * in a store of an older version, and in an older copy that was taken into use.
 * @throws NightlatchError store/damaged, store/full, store/io
 */
export function openWitnessKey(sqlite: Sqlite, storeId: string, master: MasterKey): KeyObject {
  const context: WrapContext = { purpose: "witness", id: storeId, epoch: 1 };
  const row = sqlite.first(query.selectFrom("store").select(["witness", "wrapped_witness"]));
  if (row?.wrapped_witness == null) return makeKey(sqlite, master, context);
  using bytes = master.unwrap(row.wrapped_witness, context);
  const key = importIdentity(bytes);
  if (nameOf(key) === row.witness) return key;
  throw new NightlatchError("store/damaged", "the store is damaged: its key as a witness is another one", {
    meaning: "Nothing was started, nothing was changed.",
    remedy: "Restore the store, its master key and its cells from the same backup.",
  });
}

function makeKey(sqlite: Sqlite, master: MasterKey, context: WrapContext): KeyObject {
  using made = newIdentity();
  const key = importIdentity(made);
  const columns = { witness: nameOf(key), wrapped_witness: master.wrap(made.reveal(), context) };
  sqlite.begin();
  try {
    sqlite.run(query.updateTable("store").set(columns));
    sqlite.commit();
  } catch (error) {
    sqlite.rollback();
    throw error;
  }
  return key;
}

function nameOf(key: KeyObject): string {
  return rawKey(createPublicKey(key)).toString("base64url");
}
