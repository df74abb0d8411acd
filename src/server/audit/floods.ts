import { FollowingList, Memory } from "../memory.ts";
import type { FloodEndEntry, FloodEntry } from "./entries/release.ts";

/** What a receipt of a flood is about. */
interface Flooded {
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  readonly from: string;
}

/** One receipt for many releases: of one latch to one address, until a time that it names. */
interface Cover {
  readonly entry: FloodEntry;
  /** Releases that relied on it. */
  readonly count: number;
  readonly lastMs: number;
}

/** How long one such receipt holds. */
const FLOOD_MS = 600_000;
/** How many addresses of one latch are told apart at a time. */
const MAX_SOURCES = 16;

/**
 * Counts the releases of a latch that is asked too often for a receipt each.
 *
 * Whoever has seen a latch's address may ask without end. Refusing would keep its own machine out,
 * and a receipt each would fill the disk. So one receipt, durable before the first answer that
 * relies on it, says that the latch is released to that address however often it asks until a time.
 * Another one counts those releases afterwards. There are at most 2 × (MAX_SOURCES + 1) entries for
 * each latch in FLOOD_MS, whatever comes.
 *
 * Only operations use it, and it follows their transaction: a receipt that was not written is given
 * again.
 */
export class FloodTally {
  readonly #memory: Memory;
  readonly #covers: Map<string, Map<string, Cover>>;
  readonly #ended: Map<Cover, FloodEndEntry>;

  constructor(memory = new Memory()) {
    this.#memory = memory;
    this.#covers = new FollowingList(memory);
    this.#ended = new FollowingList(memory);
  }

  /**
   * Counts a release.
   * @returns the receipt that holds at this time, which is the same object for as long as it does;
   *   and whether it was given before, so that this or an earlier transaction writes it already
   */
  count(flooded: Flooded, nowMs: number): { readonly entry: FloodEntry; readonly isKnown: boolean } {
    const { machine, latch, epoch, from } = flooded;
    const covers = this.#covers.get(latch) ?? new FollowingList<string, Cover>(this.#memory);
    this.#covers.set(latch, covers);
    this.#end(covers, (cover) => !holds(cover, nowMs), nowMs);
    const isTold = covers.size < MAX_SOURCES || covers.has(keyOf(epoch, from));
    const key = isTold ? keyOf(epoch, from) : keyOf(epoch, "");
    const known = covers.get(key);
    const source = isTold ? { from } : {};
    const entry =
      known?.entry ??
      ({ kind: "flood", at: nowMs, machine, latch, epoch, ...source, until: nowMs + FLOOD_MS } as const);
    covers.set(key, { entry, count: (known?.count ?? 0) + 1, lastMs: nowMs });
    return { entry, isKnown: known !== undefined };
  }

  /** Takes out the counts of receipts that are over, or of all. */
  close(nowMs: number, all = false): FloodEndEntry[] {
    for (const [latch, covers] of this.#covers) {
      this.#end(covers, (cover) => all || !holds(cover, nowMs), nowMs);
      if (covers.size === 0) this.#covers.delete(latch);
    }
    const ended = [...this.#ended.values()];
    for (const cover of this.#ended.keys()) this.#ended.delete(cover);
    return ended;
  }

  #end(covers: Map<string, Cover>, isOver: (cover: Cover) => boolean, nowMs: number): void {
    for (const [key, cover] of covers) {
      if (!isOver(cover)) continue;
      covers.delete(key);
      const { until: _until, at, kind: _kind, ...flooded } = cover.entry;
      const { count, lastMs: last } = cover;
      this.#ended.set(cover, { kind: "flood-end", ...flooded, at: nowMs, since: at, last, count });
    }
  }
}

/**
 * A clock that was set back ends a receipt too. It would otherwise last until the clock has caught
 * up.
 */
function holds({ entry }: Cover, nowMs: number): boolean {
  return entry.at <= nowMs && nowMs < entry.until;
}

function keyOf(epoch: number, from: string): string {
  return `${epoch} ${from}`;
}
