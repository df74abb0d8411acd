import { type Compilable, sql } from "kysely";
import type { Day } from "../../policy/limits.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

const SELECT_DAY = "select since_ms as sinceMs, count from latch_day where latch = ?";
const SET_DAY =
  "insert into latch_day (latch, since_ms, count) values (?, ?, ?) " +
  "on conflict do update set since_ms = excluded.since_ms, count = excluded.count";

/** Where they were before version 12: columns of the latch, of which nobody else knows. */
const FORMER = { since: sql.ref<number | null>("day_ms"), count: sql.ref<number | null>("day_count") };

/**
 * The releases of latches that were counted last. They are written with each release, and a latch's
 * own row is so long that few share a page: a commit would write a page for each of them.
 */
export function dayTable(): Compilable[] {
  const { schema } = query;
  return [
    schema
      .createTable("latch_day")
      .addColumn("latch", "text", (c) => c.primaryKey().notNull().references("latch.id"))
      .addColumn("since_ms", "integer", (c) => c.notNull())
      .addColumn("count", "integer", (c) => c.notNull())
      .modifyEnd(sql`strict, without rowid`),
    query
      .insertInto("latch_day")
      .columns(["latch", "since_ms", "count"])
      .expression(
        query
          .selectFrom("latch")
          .select(["id", FORMER.since.as("since_ms"), FORMER.count.as("count")])
          .where(FORMER.since, "is not", null),
      ),
    // Not dropped: that would write every row of the table anew, perhaps a million of them at once.
    query.updateTable("latch").set(FORMER.since, null).set(FORMER.count, null).where(FORMER.since, "is not", null),
  ];
}

/** The releases of a latch that were counted last; null where none was. */
export function readDay(sqlite: Sqlite, latchId: string): Day | null {
  return (sqlite.prepare(SELECT_DAY).get(latchId) as Day | undefined) ?? null;
}

/** Notes them. */
export function writeDay(sqlite: Sqlite, latchId: string, { sinceMs, count }: Day): void {
  sqlite.prepare(SET_DAY).run(latchId, sinceMs, count);
}
