import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { unpackEdge } from "../audit/merkle.ts";
import { originOf, type SignedCheckpoint } from "../audit/note.ts";
import type { AuditSource, NumberedEntry, Snapshot } from "../audit/verify.ts";
import { query } from "./schema.ts";
import { Sqlite } from "./sqlite.ts";

/** Entries or checkpoints that are read at once. */
const PAGE = 4096;

/**
 * The log of a store's file, for whoever may read it; a server may have it open meanwhile. Read in short pages, because a reader
 * keeps destroyed keys from being overwritten for as long as it reads.
 * @throws NightlatchError store/damaged, store/io
 */
export function openAuditSource(path: string): AuditSource & Disposable {
  const sqlite = new Sqlite(path, { readonly: true });
  const snapshot = takeSnapshot(sqlite);
  return {
    snapshot,
    entries: async (from) => readEntries(sqlite, from),
    checkpoints: async (after) => readCheckpoints(sqlite, snapshot.storeId, after),
    [Symbol.dispose]: () => sqlite.close(),
  };
}

/** From number `from` on, a page of them. */
export function readEntries(sqlite: Sqlite, from: number): NumberedEntry[] {
  return sqlite.all(query.selectFrom("entry").selectAll().where("number", ">=", from).orderBy("number").limit(PAGE));
}

/** Of sizes above `after`, a page of them. */
export function readCheckpoints(sqlite: Sqlite, storeId: string, after: number): SignedCheckpoint[] {
  const rows = sqlite.all(
    query.selectFrom("checkpoint").selectAll().where("size", ">", after).orderBy("size").limit(PAGE),
  );
  return rows.map((row) => ({ origin: originOf(storeId), ...row }));
}

/** Inside one read transaction. */
export function takeSnapshot(sqlite: Sqlite): Snapshot {
  sqlite.begin();
  try {
    const store = sqlite.first(query.selectFrom("store").select(["id", "identity"]));
    const tree = sqlite.first(query.selectFrom("tree").select(["size", "edge"]));
    const edge = tree === null ? null : unpackEdge(tree.size, tree.edge);
    if (store === null || edge === null)
      throw new NightlatchError("store/damaged", "the store does not say what it holds");
    const machines = sqlite.all(query.selectFrom("machine").select(["id", "name", "state", "epoch"]));
    const latches = sqlite.all(
      query
        .selectFrom("latch")
        .leftJoin("latch_key", (join) =>
          join
            .onRef("latch_key.latch", "=", "latch.id")
            .onRef("latch_key.epoch", "=", "latch.epoch")
            .on("latch_key.purpose", "=", "exchange"),
        )
        .select(["latch.id", "latch.machine", "latch.volume", "latch.state", "latch_key.kid"]),
    );
    const identity = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: store.identity }, format: "jwk" });
    return { storeId: store.id, identity, edge, machines, latches };
  } finally {
    sqlite.rollback();
  }
}
