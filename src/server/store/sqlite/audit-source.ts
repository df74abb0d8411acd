import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { EMPTY_RANGE, rootOf, unpackRange } from "../../../formats/log/merkle.ts";
import {
  COSIGNATURE,
  formatVerifier,
  isSignedCheckpoint,
  originOf,
  parseNote,
  type SignedCheckpoint,
} from "../../../formats/log/note.ts";
import {
  dayText,
  type KnownLatch,
  keyNames,
  leaseText,
  policyText,
  siteText,
  useText,
} from "../../audit/replay/known.ts";
import type { AuditSource, NumberedCosignature, NumberedEntry, Snapshot } from "../../audit/verify.ts";
import type { Day } from "../../policy/limits.ts";
import type { WitnessedLogRow } from "../rows.ts";
import { readDaysBeyond } from "./day-table.ts";
import { GROUP, groupOf } from "./group-table.ts";
import { leaseUseOf, MACHINE, machineOf, USE } from "./lease-columns.ts";
import { REQUEST, requestOf } from "./request-table.ts";
import { query } from "./schema.ts";
import { Sqlite } from "./sqlite.ts";
import { requireThisVersion } from "./version.ts";
import { SqliteWitnesses } from "./witness-table.ts";

/** How many entries or checkpoints are read at once. */
const PAGE = 4096;

/**
 * The log of a store's file, for whoever may read it; a server may have it open meanwhile. It is
 * read in short pages, because a reader keeps destroyed keys from being overwritten for as long as
 * it reads.
 * @throws NightlatchError store/older, store/newer, store/damaged, store/io
 */
export function openAuditSource(path: string): AuditSource & Disposable {
  const sqlite = new Sqlite(path, { readonly: true });
  let snapshot: Snapshot;
  try {
    requireThisVersion(sqlite);
    snapshot = takeSnapshot(sqlite);
  } catch (error) {
    sqlite.close();
    throw error;
  }
  return {
    snapshot,
    entries: async (from) => readEntries(sqlite, from),
    checkpoints: async (after) => readCheckpoints(sqlite, snapshot.storeId, after),
    cosignatures: async () => readCosignatures(sqlite, snapshot.storeId),
    [Symbol.dispose]: () => sqlite.close(),
  };
}

/** A page of the entries from number `from` on. */
export function readEntries(sqlite: Sqlite, from: number): NumberedEntry[] {
  return sqlite.all(query.selectFrom("entry").selectAll().where("number", ">=", from).orderBy("number").limit(PAGE));
}

/** A page of the checkpoints of sizes above `after`. */
export function readCheckpoints(sqlite: Sqlite, storeId: string, after: number): SignedCheckpoint[] {
  const rows = sqlite.all(
    query.selectFrom("checkpoint").selectAll().where("size", ">", after).orderBy("size").limit(PAGE),
  );
  return rows.map((row) => ({ origin: originOf(storeId), ...row }));
}

/** What witnesses have signed. */
export function readCosignatures(sqlite: Sqlite, storeId: string): NumberedCosignature[] {
  const rows = new SqliteWitnesses(sqlite, storeId).cosigned();
  return rows.map(({ checkpoint, witness, cosignature }) => ({ size: checkpoint.size, witness, cosignature }));
}

/** One moment of the store, read in one transaction. @throws NightlatchError store/damaged */
export function takeSnapshot(sqlite: Sqlite): Snapshot {
  sqlite.begin();
  try {
    const store = sqlite.first(query.selectFrom("store").select(["id", "identity"]));
    const tree = sqlite.first(query.selectFrom("tree").select(["size", "edge"]));
    const range = tree === null ? null : unpackRange(tree.size, tree.edge);
    if (store === null || range === null)
      throw new NightlatchError("store/damaged", "the store does not say what it holds");
    const machines = sqlite
      .all(query.selectFrom("machine").select(MACHINE))
      .map(machineOf)
      .map(({ id, name, state, epoch, policy, leases, lease, alive, group, source, ...terms }) => {
        const said = policyText(policy, { ...terms, timeoutMs: alive?.timeoutMs ?? null });
        return { id, name, state, epoch, policy: said, source, group: group ?? "", lease: leaseText(leases, lease) };
      });
    const groups = sqlite
      .all(query.selectFrom("machine_group").select(GROUP))
      .map(groupOf)
      .map(({ name, terms, site }) => {
        const policy = terms === null ? "" : policyText(terms.policy, terms);
        return { id: name, policy, site: siteText(site) };
      });
    const latches = readLatches(sqlite);
    const invites = sqlite
      .all(query.selectFrom("invite").select(["id", "name", "state", "expires_ms as expires", "machine", "in_group"]))
      .map(({ in_group: group, ...invite }) => ({ ...invite, group: group ?? "" }));
    const requests = sqlite
      .all(query.selectFrom("request").select(REQUEST))
      .map(requestOf)
      .map(({ id, machineId, from, state, approvedBy, expiresMs }) => {
        return { id, machine: machineId, from, state, approvedBy: approvedBy.join(","), expires: expiresMs };
      });
    const identity = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: store.identity }, format: "jwk" });
    const known = knownWitnesses(new SqliteWitnesses(sqlite, store.id));
    return { storeId: store.id, identity, range, machines, latches, groups, invites, requests, ...known };
  } finally {
    sqlite.rollback();
  }
}

function knownWitnesses(tables: SqliteWitnesses): Pick<Snapshot, "witnesses" | "witnessedLogs"> {
  const witnesses = tables.all().map(({ name, publicKey, url }) => {
    return { id: name, key: formatVerifier(name, publicKey, COSIGNATURE), url };
  });
  const witnessedLogs = tables.logs().map((log) => {
    return {
      id: log.origin,
      key: formatVerifier(log.origin, log.publicKey),
      signed: isWhole(log) ? "whole" : "damaged",
    };
  });
  return { witnesses, witnessedLogs };
}

/** Whether what was signed last of a log is what the log itself had signed. */
function isWhole({ origin, publicKey, size, root, note, cosignedMs }: WitnessedLogRow): boolean {
  if (cosignedMs === null) return size === 0 && note === "" && root.equals(rootOf(EMPTY_RANGE));
  const checkpoint = parseNote(note, publicKey);
  if (checkpoint === null || !isSignedCheckpoint(checkpoint, publicKey)) return false;
  return checkpoint.origin === origin && checkpoint.size === size && checkpoint.root.equals(root);
}

function readLatches(sqlite: Sqlite): KnownLatch[] {
  const rows = sqlite.all(query.selectFrom("latch").select(["id", "machine", "volume", "state", "epoch", ...USE]));
  const days = new Map<string, Day>(
    sqlite
      .all(query.selectFrom("latch_day").select(["latch", "since_ms as sinceMs", "count"]))
      .map(({ latch, ...day }) => [latch, day]),
  );
  // As a start does: what the table does not cover yet is in the log alone.
  for (const [latch, day] of readDaysBeyond(sqlite)) days.set(latch, day);
  const keys = Map.groupBy(
    sqlite.all(query.selectFrom("latch_key").select(["latch", "purpose", "epoch", "kid"])),
    ({ latch }) => latch,
  );
  const latches = rows.map(({ id, machine, volume, state, epoch, ...use }) => {
    return {
      id,
      machine,
      volume,
      state,
      epoch,
      keys: keyNames(keys.get(id) ?? []),
      use: useText(leaseUseOf(use)),
      day: dayText(days.get(id) ?? null),
    };
  });
  for (const { id } of rows) keys.delete(id);
  // Keys of no latch: told as a latch that the log does not know.
  const strays = [...keys].map(
    ([id, of]): KnownLatch => ({
      id: `${id}, of which there are only keys,`,
      machine: "",
      volume: "",
      state: "active",
      epoch: 0,
      keys: keyNames(of),
      use: "",
      day: "",
    }),
  );
  return [...latches, ...strays];
}
