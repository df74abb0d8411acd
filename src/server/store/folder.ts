import { generateKeyPairSync } from "node:crypto";
import { lstatSync } from "node:fs";
import { toBase64url } from "../../core/bytes.ts";
import { isError, NightlatchError } from "../../core/errors.ts";
import { findFlaw } from "../../core/ownership.ts";
import { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";
import { BALLAST_NAME, Ballast } from "./ballast.ts";
import { EmbeddedStore } from "./embedded.ts";
import { lockFolder } from "./lock.ts";
import { createStore, openStore, type StoreKeys } from "./open.ts";
import { type FolderFacts, planOpening } from "./plan.ts";
import {
  type Reached,
  readRecord,
  recordPaths,
  STORE_ID_BYTES,
  type StoreRecord,
  warnOfRecord,
  writeRecord,
} from "./record.ts";
import { hasGrownFrom, recordRollback, rolledBack } from "./rollback.ts";
import { Sqlite } from "./sqlite.ts";
import { MASTER_KEY_BYTES, MasterKey } from "./wrap.ts";

export type FolderSystem = Pick<
  System,
  "readFile" | "writeFile" | "removeFile" | "stat" | "listDirectory" | "makeDirectory" | "lock" | "random" | "nowMs"
>;

export interface OpenedStore extends StoreKeys {
  readonly store: EmbeddedStore;
  readonly storeId: string;
  /** True where this start made the store. */
  readonly created: boolean;
  readonly warnings: readonly string[];
}

export interface FolderOwner {
  readonly uid: number;
  readonly acceptRollback?: boolean;
}

const STORE = "store.sqlite";
const MASTER = "master.key";
const LOCK = "lock";
/** Ours, or a file system's own. */
const KNOWN = [STORE, `${STORE}-wal`, `${STORE}-shm`, MASTER, LOCK, "store.id", BALLAST_NAME, "lost+found"];

export function storePath(folder: string): string {
  return `${folder}/${STORE}`;
}

/**
 * Opens the server's data folder for this process alone, making the store where there never was one.
 * Every step of the making can be the last before the power goes: the record says `creating` until all of it is there.
 * @param owner.uid whose files these must be
 * @param owner.acceptRollback takes an older copy of the store into use, and says so in its log
 * @throws NightlatchError store/*, file/*
 */
export async function openFolder(system: FolderSystem, folder: string, owner: FolderOwner): Promise<OpenedStore> {
  const { uid } = owner;
  planOpening(await survey(system, folder)); // refuses before anything is written, the lock included
  await system.makeDirectory(folder, 0o700);
  await requirePrivate(system, folder, uid);
  const lock = await lockFolder(system, `${folder}/${LOCK}`);
  let sqlite: Sqlite | undefined;
  try {
    const facts = await survey(system, folder);
    const plan = planOpening(facts);
    const warnings: string[] = [];
    const record: StoreRecord = facts.record ?? {
      store: toBase64url(system.random(STORE_ID_BYTES)),
      state: "creating",
      reached: null,
    };
    let recordPath = facts.recordPath;
    const write = async (next: StoreRecord) => {
      recordPath = await writeRecord(system, folder, next);
    };
    if (plan === "create") await write(record);
    const fresh = plan === "create" || plan === "resume";
    if (fresh && !facts.hasMasterKey) await makeMasterKey(system, folder);
    const master = await readMasterKey(system, folder, uid);
    // SQLite gives the files that it makes beside it the same mode.
    if (fresh && !facts.hasStore) await system.writeFile(storePath(folder), new Uint8Array(), 0o600);
    requireOwnFile(storePath(folder));
    await requirePrivate(system, storePath(folder), uid);
    sqlite = new Sqlite(storePath(folder));
    if (fresh)
      await createStore(sqlite, { storeId: record.store, master, identity: newIdentity(), atMs: system.nowMs() });
    const opened = await openStore(sqlite, master);
    if (facts.record !== null && opened.storeId !== record.store)
      throw otherStore(folder, opened.storeId, record.store);
    const { storeId, identity } = opened;
    const signer = { storeId, key: identity };
    const { reached } = record;
    const isOlder = reached !== null && !hasGrownFrom(sqlite, signer, reached);
    if (isOlder) {
      if (owner.acceptRollback !== true) throw rolledBack(folder, recordPath, reached);
      await recordRollback(sqlite, signer, reached, system.nowMs());
      warnings.push(accepted(reached));
    }
    if (owner.acceptRollback === true && !isOlder) warnings.push(NOTHING_TO_ACCEPT);
    if (plan === "adopt") warnings.push(adopted(folder));
    const note = (next: Reached) => write({ store: storeId, state: "ready", reached: next });
    const ballast = new Ballast(system, folder);
    const store = new EmbeddedStore(sqlite, storeId, { lock, noted: isOlder ? null : reached, note, ballast });
    await store.scrubIfOwed(); // a crash may have left keys that were destroyed
    await store.witness().catch((error: unknown) => {
      if (plan !== "open" || isOlder || !isError(error)) throw error;
      warnings.push(`${recordPath} could not be brought up to date: ${error.message}`);
    });
    await ballast.find(); // last: what a start needs comes first
    const weaker = warnOfRecord(folder, recordPath);
    if (weaker !== null) warnings.push(weaker);
    return { store, storeId, master, identity, created: fresh, warnings };
  } catch (error) {
    sqlite?.close();
    await lock[Symbol.asyncDispose]();
    throw isError(error, "file/full") ? noRoom(error) : error;
  }
}

async function survey(system: FolderSystem, folder: string): Promise<FolderFacts> {
  const found = await readRecord(system, folder);
  const names = await system.listDirectory(folder);
  return {
    folder,
    recordPath: found?.path ?? recordPaths(folder).beside,
    record: found?.record ?? null,
    hasStore: names.includes(STORE),
    hasMasterKey: names.includes(MASTER),
    strangers: names.filter((name) => !KNOWN.includes(name)),
  };
}

async function makeMasterKey(system: FolderSystem, folder: string): Promise<void> {
  using key = Secret.take(system.random(MASTER_KEY_BYTES));
  await system.writeFile(`${folder}/${MASTER}`, key.reveal(), 0o600);
}

async function readMasterKey(system: FolderSystem, folder: string, uid: number): Promise<MasterKey> {
  const path = `${folder}/${MASTER}`;
  await requirePrivate(system, path, uid);
  try {
    const bytes = await system.readFile(path, MASTER_KEY_BYTES);
    const key = Secret.copy(bytes);
    bytes.fill(0);
    if (key.lengthBytes === MASTER_KEY_BYTES) return new MasterKey(key);
  } catch (error) {
    if (!isError(error, "file/too-large")) throw error;
  }
  throw new NightlatchError(
    "store/master-key",
    `${path} is not a master key: it should be ${MASTER_KEY_BYTES} bytes long`,
    {
      meaning: "Without it no key in the store can be used. Nothing was started, nothing was changed.",
      remedy: `Restore ${path} from a backup.`,
    },
  );
}

/** Keys lie here: nobody else may read or replace them. An absent path is fine. */
async function requirePrivate(system: FolderSystem, path: string, uid: number): Promise<void> {
  const facts = await system.stat(path);
  if (facts === null) return;
  const flaw = findFlaw(facts, [uid], true);
  if (flaw === null) return;
  if (flaw === "owner") {
    throw new NightlatchError("store/permissions", `${path} belongs to user ${facts.uid}, this server runs as ${uid}`, {
      meaning: "Nothing was started, nothing was changed.",
      remedy: `Run the server as user ${facts.uid}, or give the files to it: chown -R ${uid} ${path}`,
    });
  }
  throw new NightlatchError("store/permissions", `${path} is open to other users (mode ${facts.mode.toString(8)})`, {
    meaning: "Others may have read the keys in it. Nothing was started, nothing was changed.",
    remedy: `If nobody else could reach it: chmod go= ${path}`,
  });
}

/** SQLite would follow a link, and lay its WAL, with keys in it, beside whatever that leads to. */
function requireOwnFile(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new NightlatchError("store/permissions", `${path} is a symbolic link`, {
    meaning:
      "What it leads to is outside of the folder that is kept private. Nothing was started, nothing was changed.",
    remedy: "Put the store itself in its place, or name the folder that it lies in with --data.",
  });
}

function newIdentity(): Secret {
  return Secret.take(generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }));
}

function adopted(folder: string): string {
  return (
    `${folder} held a store that was not known here; it is now. Should it be an older copy of a store, machines that were locked ` +
    "or revoked since it was made must be locked or revoked again."
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

function noRoom(error: NightlatchError): NightlatchError {
  return new NightlatchError("store/full", error.message, {
    meaning: "The server was not started; what there was is as it was.",
    remedy: "Make room on the file system of the data folder, and start it again.",
  });
}

function otherStore(folder: string, found: string, expected: string): NightlatchError {
  return new NightlatchError("store/other", `${folder} holds the store ${found}, this server had ${expected}`, {
    meaning: "Another store is mounted or was copied there. Nothing was started, nothing was changed.",
    remedy: `Mount or restore the right one; or, if this is the one to use from now on, remove ${recordPaths(folder).beside}.`,
  });
}
