// @ts-nocheck
import { type Compilable, sql } from "kysely";
import { importRawKey, originOf, rawKey, type SignedCheckpoint } from "../../../formats/log/note.ts";
import type { CosignatureRow, WitnessedLogRow, WitnessRow } from "../port.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

/**
 * Who cosigns this log, and which logs this server cosigns: docs/format/witness.md. The key that it
 * does that with is made at the next start.
 */
export function witnessTables(): Compilable[] {
  const { schema } = query;
  return [
    schema.alterTable("store").addColumn("witness", "text"),
    schema.alterTable("store").addColumn("wrapped_witness", "blob"),
    schema
      .createTable("witness")
      .addColumn("name", "text", (c) => c.primaryKey().notNull())
      .addColumn("key", "blob", (c) => c.notNull())
      .addColumn("url", "text", (c) => c.notNull())
      .addColumn("seen", "integer", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    schema
      .createTable("cosignature")
      .addColumn("size", "integer", (c) => c.notNull())
      .addColumn("witness", "text", (c) => c.notNull())
      .addColumn("seconds", "integer", (c) => c.notNull())
      .addColumn("signature", "blob", (c) => c.notNull())
      .addPrimaryKeyConstraint("cosignature_primary", ["size", "witness"])
      .modifyEnd(sql`strict, without rowid`),
    schema
      .createTable("witnessed_log")
      .addColumn("origin", "text", (c) => c.primaryKey().notNull())
      .addColumn("key", "blob", (c) => c.notNull())
      .addColumn("size", "integer", (c) => c.notNull())
      .addColumn("root", "blob", (c) => c.notNull())
      .addColumn("note", "text", (c) => c.notNull())
      .addColumn("cosigned_ms", "integer")
      .modifyEnd(sql`strict`),
  ];
}

/** Of so many sizes cosignatures are kept. */
const KEPT_SIZES = 16;
const FORGET_OLD = `delete from cosignature where size < coalesce(
    (select size from (select distinct size from cosignature order by size desc limit ${KEPT_SIZES}) order by size limit 1), 0)`;
const SELECT_COSIGNED = `select checkpoint.size, checkpoint.root, checkpoint.signature, witness.name, witness.key,
    cosignature.seconds, cosignature.signature as cosignature
    from cosignature join checkpoint on checkpoint.size = cosignature.size
    join witness on witness.name = cosignature.witness order by cosignature.size desc, witness.name`;

/** The port's reads and writes of witnesses, over SQLite. */
export class SqliteWitnesses {
  readonly #sqlite: Sqlite;
  readonly #storeId: string;

  constructor(sqlite: Sqlite, storeId: string) {
    this.#sqlite = sqlite;
    this.#storeId = storeId;
  }

  all(): WitnessRow[] {
    const rows = this.#sqlite.all(query.selectFrom("witness").selectAll().orderBy("name"));
    return rows.map(({ key, ...row }) => ({ ...row, publicKey: importRawKey(key) }));
  }

  set({ name, publicKey, url, seen }: WitnessRow): void {
    const row = { name, key: rawKey(publicKey), url, seen };
    this.#sqlite.run(
      query
        .insertInto("witness")
        .values(row)
        .onConflict((c) => c.column("name").doUpdateSet(row)),
    );
  }

  delete(name: string): void {
    this.#sqlite.run(query.deleteFrom("cosignature").where("witness", "=", name));
    this.#sqlite.run(query.deleteFrom("witness").where("name", "=", name));
  }

  cosigned(): CosignatureRow[] {
    const rows = this.#sqlite.guard(() => this.#sqlite.prepare(SELECT_COSIGNED).all()) as CosignedColumns[];
    return rows.map((row) => cosignatureOf(row, this.#storeId));
  }

  insert(size: number, witness: string, { seconds, signature }: CosignatureRow["cosignature"]): void {
    const row = { size, witness, seconds, signature };
    this.#sqlite.run(
      query
        .insertInto("cosignature")
        .values(row)
        .onConflict((c) => c.columns(["size", "witness"]).doUpdateSet(row)),
    );
    this.#sqlite.guard(() => this.#sqlite.prepare(FORGET_OLD).run());
  }

  logs(): WitnessedLogRow[] {
    return this.#sqlite.all(query.selectFrom("witnessed_log").selectAll().orderBy("origin")).map(logOf);
  }

  log(origin: string): WitnessedLogRow | null {
    const row = this.#sqlite.first(query.selectFrom("witnessed_log").selectAll().where("origin", "=", origin));
    return row === null ? null : logOf(row);
  }

  setLog({ origin, publicKey, size, root, note, cosignedMs }: WitnessedLogRow): void {
    const row = { origin, key: rawKey(publicKey), size, root, note, cosigned_ms: cosignedMs };
    this.#sqlite.run(
      query
        .insertInto("witnessed_log")
        .values(row)
        .onConflict((c) => c.column("origin").doUpdateSet(row)),
    );
  }

  deleteLog(origin: string): void {
    this.#sqlite.run(query.deleteFrom("witnessed_log").where("origin", "=", origin));
  }
}

interface CosignedColumns {
  readonly size: number;
  readonly root: Buffer;
  readonly signature: Buffer;
  readonly name: string;
  readonly key: Buffer;
  readonly seconds: number;
  readonly cosignature: Buffer;
}

function cosignatureOf(row: CosignedColumns, storeId: string): CosignatureRow {
  const { size, root, signature, name, key, seconds, cosignature } = row;
  const checkpoint: SignedCheckpoint = { origin: originOf(storeId), size, root, signature };
  const witness = { origin: name, publicKey: importRawKey(key) };
  return { checkpoint, witness, cosignature: { seconds, signature: cosignature } };
}

function logOf(row: {
  readonly origin: string;
  readonly key: Buffer;
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
  readonly cosigned_ms: number | null;
}): WitnessedLogRow {
  const { key, cosigned_ms: cosignedMs, ...rest } = row;
  return { ...rest, publicKey: importRawKey(key), cosignedMs };
}
