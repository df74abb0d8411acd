import { latestOf } from "../audit/latest.ts";
import type { Service } from "./service.ts";

/** Entries that are read at once: some milliseconds, for which releases wait. */
const PAGE = 1024;

/**
 * Brings the index of the log's latest entries up to the log's end, in short pages. A release pays nothing for the index: it is made of
 * the log afterwards. The first time on a store of an older version it reads the whole log.
 * @param patienceMs gives up after that; another call goes on
 * @returns how many entries are left
 * @throws NightlatchError store/*
 */
export async function indexLog(
  { store }: Pick<Service, "store">,
  patienceMs = Number.POSITIVE_INFINITY,
): Promise<number> {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    const left = await store.transact(async (transaction) => {
      const [reach, { size }] = [await transaction.latestReach(), await transaction.tree()];
      if (reach >= size) return 0;
      const page = await transaction.entries(reach, PAGE);
      const next = page.length === 0 ? size : reach + page.length; // an entry that was removed: verifying tells of that
      await transaction.setLatest(latestOf(page), next);
      return size - next;
    });
    if (left <= 0 || performance.now() >= deadlineMs) return Math.max(0, left);
    await new Promise((resolve) => setImmediate(resolve)); // what waits is released in between
  }
}
