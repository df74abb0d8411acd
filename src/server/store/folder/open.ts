import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { Secret } from "../../../core/secret.ts";
import { exportPublicJwk } from "../../../formats/jose/jwk.ts";
import { EMPTY_RANGE, packRange, rootOf } from "../../../formats/log/merkle.ts";
import { isSignedCheckpoint } from "../../../formats/log/note.ts";
import { appendEntries } from "../../audit/log.ts";
import type { MasterKey, WrapContext } from "../keys/wrap.ts";
import { SqliteLog } from "../sqlite/log.ts";
import { APPLICATION_ID, CELLS_VERSION, MIGRATIONS } from "../sqlite/migrations.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { readVersion } from "../sqlite/version.ts";

const CHECK = Buffer.from("nightlatch master key");

/**
 * Fills an empty file in one transaction, with an identity that is made for it. A file that was
 * filled already is left alone.
 * @throws NightlatchError store/full, store/io
 */
export async function createStore(
  sqlite: Sqlite,
  first: { readonly storeId: string; readonly master: MasterKey; readonly atMs: number },
): Promise<void> {
  if (sqlite.pragma("user_version") !== 0) return;
  const { storeId, master, atMs } = first;
  using identity = newIdentity();
  const key = importIdentity(identity);
  sqlite.begin();
  try {
    migrate(sqlite, 0);
    sqlite.pragma(`application_id = ${APPLICATION_ID}`);
    sqlite.run(
      query.insertInto("store").values({
        row: 1,
        id: storeId,
        created_ms: atMs,
        identity: exportPublicJwk(key).x,
        wrapped_identity: master.wrap(identity.reveal(), contextOf("identity", storeId)),
        master_check: master.wrap(CHECK, contextOf("check", storeId)),
      }),
    );
    sqlite.run(query.insertInto("tree").values({ row: 1, size: 0, edge: packRange(EMPTY_RANGE) }));
    const log = new SqliteLog(sqlite, storeId);
    await appendEntries(log, [{ kind: "store", at: atMs, store: storeId }], { storeId, key });
    sqlite.commit();
  } catch (error) {
    sqlite.rollback();
    throw error;
  }
}

/** Which store a file holds. */
export interface FoundStore {
  /** The version of its tables, before anything was changed. */
  readonly version: number;
  readonly storeId: string;
}

/**
 * Finds which store a file holds, and changes nothing.
 * @throws NightlatchError store/newer, store/damaged
 */
export function findStore(sqlite: Sqlite): FoundStore {
  const version = readVersion(sqlite);
  if (version === null) throw damaged("it is empty, or not a store of Nightlatch");
  const row = sqlite.first(query.selectFrom("store").select("id"));
  if (row === null) throw damaged("it does not say which store it is");
  return { version, storeId: row.id };
}

/**
 * Whether the store's own keys open under this master key.
 * @throws NightlatchError store/damaged
 */
export function isMasterOf(sqlite: Sqlite, { version, storeId }: FoundStore, master: MasterKey): boolean {
  const row = sqlite.first(query.selectFrom("store").select("master_check"));
  if (row === null) throw damaged("it does not say which store it is");
  const context = contextOf("check", storeId);
  try {
    const check =
      version < CELLS_VERSION ? master.unwrapOld(row.master_check, context) : master.unwrap(row.master_check, context);
    check.wipe();
    return true;
  } catch (error) {
    if (!isError(error, "store/damaged")) throw error;
    return false;
  }
}

/** The error where the master key is another store's. */
export function otherMaster(): NightlatchError {
  return new NightlatchError("store/master-key", "the master key (master.key) is not the one of this store", {
    meaning: "No key in the store can be used with it. Nothing was started, nothing was changed.",
    remedy: "Restore the store, its master key and its cells from the same backup.",
  });
}

/**
 * Brings the tables to this version, and with them, in the same commit, what they hold.
 * @throws NightlatchError store/full, store/io; and what `alongside` throws
 */
export function upgradeStore(sqlite: Sqlite, version: number, alongside: () => void): void {
  if (version === MIGRATIONS.length) return;
  sqlite.begin();
  try {
    migrate(sqlite, version);
    alongside();
    sqlite.commit();
  } catch (error) {
    sqlite.rollback();
    throw error;
  }
}

/**
 * Opens the store's identity. It also checks that the store is whole where that costs nothing: that
 * the log is as long as its last signed checkpoint says.
 * @throws NightlatchError store/damaged
 */
export async function openStore(sqlite: Sqlite, master: MasterKey): Promise<KeyObject> {
  const row = sqlite.first(query.selectFrom("store").select(["id", "identity", "wrapped_identity"]));
  if (row === null) throw damaged("it does not say which store it is");
  using bytes = master.unwrap(row.wrapped_identity, contextOf("identity", row.id));
  const identity = importIdentity(bytes);
  if (exportPublicJwk(identity).x !== row.identity) throw damaged("its identity is another one");
  await requireWholeLog(sqlite, row.id, identity);
  return identity;
}

function migrate(sqlite: Sqlite, from: number): void {
  for (const statements of MIGRATIONS.slice(from)) {
    for (const statement of statements()) sqlite.run(statement);
  }
  sqlite.pragma(`user_version = ${MIGRATIONS.length}`);
}

async function requireWholeLog(sqlite: Sqlite, storeId: string, identity: KeyObject): Promise<void> {
  const log = new SqliteLog(sqlite, storeId);
  const tree = await log.tree();
  const checkpoint = await log.checkpoint();
  const last = sqlite.first(query.selectFrom("entry").select("number").orderBy("number", "desc").limit(1));
  const whole =
    checkpoint !== null &&
    checkpoint.size === tree.size &&
    last?.number === tree.size - 1 &&
    checkpoint.root.equals(rootOf(tree)) &&
    isSignedCheckpoint(checkpoint, createPublicKey(identity));
  if (!whole) throw damaged("its audit log does not end where its last signed checkpoint says");
}

function contextOf(purpose: WrapContext["purpose"], id: string): WrapContext {
  return { purpose, id, epoch: 1 };
}

/** Makes a key pair of Ed25519, as PKCS #8 DER. */
export function newIdentity(): Secret {
  return Secret.take(generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }));
}

/** Reads one. */
export function importIdentity(bytes: Secret): KeyObject {
  return createPrivateKey({ key: bytes.reveal(), format: "der", type: "pkcs8" });
}

function damaged(what: string): NightlatchError {
  return new NightlatchError("store/damaged", `the store is damaged: ${what}`, {
    meaning: "Nothing was started, nothing was changed.",
    remedy:
      "Run nightlatch audit verify to see more, and restore the store, its master key and its cells from the same backup.",
  });
}
