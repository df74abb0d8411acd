import type { FloodEndEntry, FloodEntry } from "./entry.ts";

/** What a receipt of a flood is about. */
export interface Flooded {
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  readonly from: string;
}

/** One receipt for many releases: of one latch to one address, until a time that it names. */
export interface Cover {
  readonly entry: FloodEntry;
  /** Whether a commit has held the entry. Until then every release that relies on it must bring it along. */
  isDurable: boolean;
  /** Releases that relied on it. */
  count: number;
}

export const FLOOD_MS = 600_000;
/** Addresses of one latch that are told apart at a time. */
export const MAX_SOURCES = 16;

/**
 * Receipts of a latch that is asked too often for one each. Who has seen a latch's address may ask without end; refusing would keep
 * its own machine out, and a receipt each would fill the disk. So one receipt, durable before the first answer that relies on it,
 * says that the latch is released to that address however often it asks until a time; another one counts them afterwards.
 * At most 2 × (MAX_SOURCES + 1) entries for each latch in FLOOD_MS, whatever comes.
 */
export class FloodTally {
  readonly #covers = new Map<string, Map<string, Cover>>();
  #ended: FloodEndEntry[] = [];

  /** The cover that holds at this time; the same object for as long as it does, so that one commit writes its entry once. */
  cover({ machine, latch, epoch, from }: Flooded, nowMs: number): Cover {
    const covers = this.#covers.get(latch) ?? new Map<string, Cover>();
    this.#covers.set(latch, covers);
    this.#end(covers, (cover) => !holds(cover, nowMs), nowMs);
    const isTold = covers.size < MAX_SOURCES || covers.has(keyOf(epoch, from));
    const key = isTold ? keyOf(epoch, from) : keyOf(epoch, "");
    const known = covers.get(key);
    if (known !== undefined) return known;
    const source = isTold ? { from } : {};
    const entry = { kind: "flood", at: nowMs, machine, latch, epoch, ...source, until: nowMs + FLOOD_MS } as const;
    const cover: Cover = { entry, isDurable: false, count: 0 };
    covers.set(key, cover);
    return cover;
  }

  /** Takes out the counts of covers that are over, or of all. */
  close(nowMs: number, all = false): FloodEndEntry[] {
    for (const [latch, covers] of this.#covers) {
      this.#end(covers, (cover) => all || !holds(cover, nowMs), nowMs);
      if (covers.size === 0) this.#covers.delete(latch);
    }
    return this.#ended.splice(0);
  }

  /** Puts back what could not be written. */
  restore(entries: readonly FloodEndEntry[]): void {
    this.#ended = [...entries, ...this.#ended];
  }

  #end(covers: Map<string, Cover>, isOver: (cover: Cover) => boolean, nowMs: number): void {
    for (const [key, cover] of covers) {
      if (!isOver(cover)) continue;
      covers.delete(key);
      const { until: _until, at, kind: _kind, ...flooded } = cover.entry;
      if (cover.count > 0) {
        this.#ended.push({ kind: "flood-end", ...flooded, at: nowMs, since: at, count: cover.count });
      }
    }
  }
}

/** A clock that was set back ends it too, lest it last until the clock has caught up. */
function holds({ entry }: Cover, nowMs: number): boolean {
  return entry.at <= nowMs && nowMs < entry.until;
}

function keyOf(epoch: number, from: string): string {
  return `${epoch} ${from}`;
}
