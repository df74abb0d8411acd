import type { Day } from "../policy/limits.ts";
import type { Transaction } from "../store/port.ts";
import type { Service } from "./service.ts";

/** So many are written in one transaction at most. */
const SAVED_AT_ONCE = 256;
/** So many entries a start reads in a millisecond or two: that is worth no commit. */
const SMALL_TAIL = 4096;

/**
 * Takes up, at a start, what the log has counted and the table does not have. Nothing may be
 * released before.
 * @throws NightlatchError store/*
 */
export async function resumeDays({ queue, days }: Pick<Service, "queue" | "days">): Promise<void> {
  await queue.submit(async (transaction) => {
    for (const [latch, day] of await transaction.daysBeyond()) days.set(latch, day);
    return { outcome: null, entries: [] };
  });
  days.complete();
}

/** The releases of a latch that were counted last; null where none was. */
export async function dayOf(
  { days }: Pick<Service, "days">,
  transaction: Transaction,
  latchId: string,
): Promise<Day | null> {
  return days.of(latchId) ?? (await transaction.day(latchId));
}

/**
 * Brings the table of counted releases up to the log, so that a start need not read far. Whenever
 * it ends, what it has written is right: a start takes up the rest from the log.
 * @throws NightlatchError store/*
 */
export async function saveDays({ store, queue, days }: Pick<Service, "store" | "queue" | "days">): Promise<void> {
  const [reach, size] = await store.transact(async (transaction) => [
    await transaction.dayReach(),
    (await transaction.tree()).size,
  ]);
  // All that was counted up to that size is among them, or in the table.
  const unsaved = days.unsaved();
  if (unsaved === null || (unsaved.length === 0 && size - reach < SMALL_TAIL)) return;
  for (let at = 0; at === 0 || at < unsaved.length; at += SAVED_AT_ONCE) {
    const page = unsaved.slice(at, at + SAVED_AT_ONCE);
    await queue.submit(async (transaction) => {
      for (const latch of page) {
        const day = days.of(latch);
        if (day === null) continue; // a commit that counted it has failed since
        await transaction.setDay(latch, day);
        days.forget(latch);
      }
      if (at + SAVED_AT_ONCE >= unsaved.length) await transaction.setDayReach(size);
      return { outcome: null, entries: [], wrote: true };
    });
  }
}
