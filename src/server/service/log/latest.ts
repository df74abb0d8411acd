import { type LatestRow, latestOf } from "../../audit/latest.ts";
import type { Service } from "../service.ts";

/** How many entries are read at once. It takes a millisecond or two, for which releases wait. */
const PAGE = 1024;
/** How many rows are written at once. */
const ROWS = 512;
/**
 * How many entries make a stretch. One row is written of a latch that is released often in it. It
 * bounds what is held in memory.
 */
const STRETCH = 16_384;

/**
 * Brings the index of the log's latest entries up to the log's end, in short transactions. A
 * release pays nothing for the index: it is made of the log afterwards. The first time on a store
 * of an older version it reads the whole log. Two at once do the same work twice, and no harm.
 * @param timeoutMs gives up after that, but not before the first stretch; another call goes on
 * @returns how many entries are left
 * @throws NightlatchError store/*
 */
export async function indexLog(
  { store, system }: Pick<Service, "store" | "system">,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<number> {
  const deadlineMs = system.monotonicMs() + timeoutMs;
  const [reach, size] = await store.transact(async (transaction) => [
    await transaction.latestReach(),
    (await transaction.tree()).size,
  ]);
  for (let next = reach; ; ) {
    if (next >= size) return 0;
    const end = Math.min(size, next + STRETCH);
    const found = new Map<string, LatestRow>();
    for (let from = next; from < end; from += PAGE) {
      const page = await store.transact((transaction) => transaction.entryTexts(from, Math.min(PAGE, end - from)));
      for (const row of latestOf(page)) found.set(`${row.kind} ${row.subject}`, row);
      await nextTurn();
    }
    const rows = [...found.values()];
    // Rows ahead of the reach are right already; cut off here, the next call finds the same.
    for (let at = 0; at < rows.length; at += ROWS) {
      await store.transact((transaction) => transaction.setLatest(rows.slice(at, at + ROWS), reach));
      await nextTurn();
    }
    await store.transact((transaction) => transaction.setLatest([], end));
    next = end;
    if (system.monotonicMs() >= deadlineMs) return size - next;
  }
}

/** What waits is released in between. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
