import { type Compilable, sql } from "kysely";
import { countedIn } from "../../audit/counted.ts";
import type { EntryText } from "../../audit/latest.ts";
import type { Day } from "../../policy/limits.ts";
import { SELECT_ENTRY_TEXTS } from "./log.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

const SELECT_DAY = "select since_ms as sinceMs, count from latch_day where latch = ?";
const SET_DAY =
  "insert into latch_day (latch, since_ms, count) values (?, ?, ?) " +
  "on conflict do update set since_ms = excluded.since_ms, count = excluded.count";

/** So many entries are read at once. */
const PAGE = 1024;

/** Where they were before version 12: columns of the latch, of which nobody else knows. */
const FORMER = { since: sql.ref<number | null>("day_ms"), count: sql.ref<number | null>("day_count") };

/**
 * The releases of latches that were counted last. A latch's own row is so long that few share a
 * page.
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

/**
 * How many entries that table covers. A count is durable in its receipt, and enters the table later
 * with many others: written at once, it would cost a page of the disk for each release.
 */
export function dayReachTable(): Compilable[] {
  const size = query.selectFrom("tree").select([sql.lit(1).as("row"), "size"]);
  return [
    query.schema
      .createTable("day_reach")
      .addColumn("row", "integer", (c) => c.primaryKey().check(sql`row = 1`))
      .addColumn("size", "integer", (c) => c.notNull())
      .modifyEnd(sql`strict`),
    // A store of before has all counts in the table. In one that is being made there is no log.
    query.insertInto("day_reach").columns(["row", "size"]).expression(size),
    query
      .insertInto("day_reach")
      .values({ row: 1, size: 0 })
      .onConflict((c) => c.doNothing()),
  ];
}

/** The releases of a latch that were counted last, as far as the table reaches. */
export function readDay(sqlite: Sqlite, latchId: string): Day | null {
  return (sqlite.prepare(SELECT_DAY).get(latchId) as Day | undefined) ?? null;
}

/** How many entries the table covers. */
export function readDayReach(sqlite: Sqlite): number {
  return sqlite.first(query.selectFrom("day_reach").select("size"))?.size ?? 0;
}

/** What the entries beyond the table have counted, by the latch. */
export function readDaysBeyond(sqlite: Sqlite): Map<string, Day> {
  const found = new Map<string, Day>();
  const select = sqlite.prepare(SELECT_ENTRY_TEXTS).raw();
  for (let next = readDayReach(sqlite); ; ) {
    const page = select.all(next, PAGE) as EntryText[];
    for (const [latch, day] of countedIn(page)) found.set(latch, day);
    const last = page.at(-1);
    if (last === undefined) return found;
    next = last[0] + 1;
  }
}

/** Enters the releases of a latch that were counted last. */
export function writeDay(sqlite: Sqlite, latchId: string, { sinceMs, count }: Day): void {
  sqlite.prepare(SET_DAY).run(latchId, sinceMs, count);
}
