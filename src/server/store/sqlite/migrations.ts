import { type Compilable, sql } from "kysely";
import { dayReachTable, dayTable } from "./day-table.ts";
import { groupTables } from "./group-table.ts";
import { approvalTables } from "./request-table.ts";
import { query } from "./schema.ts";
import { witnessTables } from "./witness-table.ts";

/** "NLCH", in the header of the file. */
export const APPLICATION_ID = 0x4e4c4348;

/**
 * What brings a store from version n (its index) to n + 1. One that was released never changes.
 * Tables are STRICT: a column holds what it says. There is no AUTOINCREMENT: numbers are ours.
 */
export const MIGRATIONS: readonly (() => Compilable[])[] = [
  initialTables,
  scrubTable,
  cellColumns,
  latestTables,
  leaseColumns,
  nodeTables,
  formerEpochTable,
  approvalTables,
  aliveColumns,
  groupTables,
  witnessTables,
  dayTable,
  dayReachTable,
  inviteGroupColumn,
];

/**
 * From this version on keys are wrapped with cells. What an older store holds must be wrapped anew.
 */
export const CELLS_VERSION = 3;

function initialTables(): Compilable[] {
  const { schema } = query;
  const state = () => sql<string>`state in ('active', 'locked', 'revoked')`;
  return [
    schema
      .createTable("store")
      .addColumn("row", "integer", (c) => c.primaryKey().check(sql`row = 1`))
      .addColumn("id", "text", (c) => c.notNull())
      .addColumn("created_ms", "integer", (c) => c.notNull())
      .addColumn("identity", "text", (c) => c.notNull())
      .addColumn("wrapped_identity", "blob", (c) => c.notNull())
      .addColumn("master_check", "blob", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    schema
      .createTable("machine")
      .addColumn("id", "text", (c) => c.primaryKey().notNull())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull().check(state()))
      .addColumn("epoch", "integer", (c) => c.notNull())
      .addColumn("enrolled_ms", "integer", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    schema
      .createIndex("machine_name")
      .on("machine")
      .column("name")
      .unique()
      .where(sql.ref("state"), "!=", sql.lit("revoked")),
    schema
      .createTable("latch")
      .addColumn("id", "text", (c) => c.primaryKey().notNull())
      .addColumn("machine", "text", (c) => c.notNull().references("machine.id"))
      .addColumn("volume", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull().check(state()))
      .addColumn("epoch", "integer", (c) => c.notNull())
      .addColumn("nonce", "text", (c) => c.notNull())
      .addColumn("created_ms", "integer", (c) => c.notNull())
      .addColumn("advertisement", "text", (c) => c.notNull())
      .addUniqueConstraint("latch_nonce", ["machine", "nonce"])
      .modifyEnd(sql`strict`),
    schema
      .createTable("latch_key")
      .addColumn("latch", "text", (c) => c.notNull().references("latch.id"))
      .addColumn("epoch", "integer", (c) => c.notNull())
      .addColumn("purpose", "text", (c) => c.notNull().check(sql`purpose in ('exchange', 'signing')`))
      .addColumn("kid", "text", (c) => c.notNull())
      .addColumn("jwk", "text", (c) => c.notNull())
      .addColumn("wrapped", "blob", (c) => c.notNull())
      .addPrimaryKeyConstraint("latch_key_primary", ["latch", "epoch", "purpose"])
      .modifyEnd(sql`strict, without rowid`),
    schema
      .createTable("invite")
      .addColumn("id", "text", (c) => c.primaryKey().notNull())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull().check(sql`state in ('open', 'used', 'void')`))
      .addColumn("wrapped", "blob", (c) => c.notNull())
      .addColumn("created_ms", "integer", (c) => c.notNull())
      .addColumn("expires_ms", "integer", (c) => c.notNull())
      .addColumn("machine", "text", (c) => c.references("machine.id"))
      .modifyEnd(sql`strict`),
    schema
      .createIndex("invite_name")
      .on("invite")
      .column("name")
      .unique()
      .where(sql.ref("state"), "=", sql.lit("open")),
    schema
      .createTable("entry")
      .addColumn("number", "integer", (c) => c.primaryKey())
      .addColumn("body", "blob", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    schema
      .createTable("tree")
      .addColumn("row", "integer", (c) => c.primaryKey().check(sql`row = 1`))
      .addColumn("size", "integer", (c) => c.notNull())
      .addColumn("edge", "blob", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    schema
      .createTable("checkpoint")
      .addColumn("size", "integer", (c) => c.primaryKey())
      .addColumn("root", "blob", (c) => c.notNull())
      .addColumn("signature", "blob", (c) => c.notNull())
      .modifyEnd(sql`strict`),
  ];
}

/** Owed at first: nobody knows what was destroyed before. */
function scrubTable(): Compilable[] {
  return [
    query.schema
      .createTable("scrub")
      .addColumn("row", "integer", (c) => c.primaryKey().check(sql`row = 1`))
      .addColumn("owed", "integer", (c) => c.notNull().check(sql`owed in (0, 1)`))
      .modifyEnd(sql`strict`),
    query.insertInto("scrub").values({ row: 1, owed: 1 }),
  ];
}

/**
 * What the log says of time, and an index to its latest releases and refusals, which begins at its
 * first entry.
 */
function latestTables(): Compilable[] {
  const { schema } = query;
  return [
    schema.alterTable("tree").addColumn("times", "blob", (c) => c.notNull().defaultTo(sql`x''`)),
    schema.alterTable("invite").addColumn("made_at", "integer", (c) => c.notNull().defaultTo(0)),
    schema
      .createTable("latest")
      .addColumn("kind", "text", (c) => c.notNull().check(sql`kind in ('release', 'refusal')`))
      .addColumn("subject", "text", (c) => c.notNull())
      .addColumn("entry", "integer", (c) => c.notNull())
      .addPrimaryKeyConstraint("latest_primary", ["kind", "subject"])
      .modifyEnd(sql`strict, without rowid`),
    schema
      .createTable("latest_reach")
      .addColumn("row", "integer", (c) => c.primaryKey().check(sql`row = 1`))
      .addColumn("size", "integer", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    query.insertInto("latest_reach").values({ row: 1, size: 0 }),
  ];
}

/** Policies and leases. Who was released before is so as before. */
function leaseColumns(): Compilable[] {
  const { schema } = query;
  return [
    schema
      .alterTable("machine")
      .addColumn("policy", "text", (c) =>
        c.notNull().defaultTo("always").check(sql`policy in ('always', 'alive', 'lease', 'approval')`),
      ),
    schema.alterTable("machine").addColumn("leases", "integer", (c) => c.notNull().defaultTo(0)),
    schema.alterTable("machine").addColumn("lease_until", "integer"),
    schema.alterTable("machine").addColumn("lease_grace", "integer"),
    schema.alterTable("machine").addColumn("lease_made_at", "integer"),
    schema.alterTable("machine").addColumn("lease_by", "integer"),
    schema
      .createIndex("machine_lease")
      .on("machine")
      .column("lease_until")
      .where(sql.ref("lease_until"), "is not", sql.lit(null)),
    schema.alterTable("latch").addColumn("use_lease", "integer"),
    schema.alterTable("latch").addColumn("use_ms", "integer"),
    schema.alterTable("latch").addColumn("use_from", "text"),
  ];
}

/**
 * Subtrees of the log's tree, which proofs are made of, and which entries tell of an older copy.
 * Both begin empty: subtrees are made of the log afterwards, and no machine has yet kept a
 * checkpoint from before.
 */
function nodeTables(): Compilable[] {
  const { schema } = query;
  return [
    schema
      .createTable("node")
      .addColumn("level", "integer", (c) => c.notNull())
      .addColumn("number", "integer", (c) => c.notNull())
      .addColumn("hash", "blob", (c) => c.notNull())
      .addPrimaryKeyConstraint("node_primary", ["level", "number"])
      .modifyEnd(sql`strict, without rowid`),
    schema
      .createTable("rollback")
      .addColumn("entry", "integer", (c) => c.primaryKey())
      .modifyEnd(sql`strict`),
  ];
}

/** Epochs that latches have left behind, and what wraps their keys. */
function formerEpochTable(): Compilable[] {
  return [
    query.schema
      .createTable("former_epoch")
      .addColumn("latch", "text", (c) => c.primaryKey().notNull().references("latch.id"))
      .addColumn("epoch", "integer", (c) => c.notNull())
      .addColumn("cell", "integer", (c) => c.notNull().unique())
      .modifyEnd(sql`strict`),
  ];
}

/** What a machine under `alive` is released by, and when each machine was last heard. */
function aliveColumns(): Compilable[] {
  const columns = ["alive_timeout", "alive_until", "alive_saved", "alive_made_at", "alive_extended", "seen_ms"];
  return columns.map((column) => query.schema.alterTable("machine").addColumn(column, "integer"));
}

/** The group that whoever comes with an invite is put into. */
function inviteGroupColumn(): Compilable[] {
  return [query.schema.alterTable("invite").addColumn("in_group", "text")];
}

function cellColumns(): Compilable[] {
  const { schema } = query;
  return [
    schema.alterTable("latch").addColumn("cell", "integer"),
    schema.alterTable("invite").addColumn("cell", "integer"),
    schema.createIndex("latch_cell").on("latch").column("cell").unique(),
    schema.createIndex("invite_cell").on("invite").column("cell").unique(),
    schema
      .createTable("dead")
      .addColumn("cell", "integer", (c) => c.primaryKey())
      .modifyEnd(sql`strict`),
  ];
}
