// @ts-nocheck
import type { Network } from "../network.ts";
import { Ranking } from "./ranking.ts";

interface Line<T> {
  readonly key: string;
  readonly group: Group<T>;
  readonly items: T[];
}

interface Group<T> {
  readonly key: string;
  count: number;
  /** In the order of their turns. */
  readonly lines: Map<string, Line<T>>;
  readonly ranking: Ranking<Line<T>>;
}

/**
 * A queue in which networks take turns, and in each network its lines do. Whoever asks more waits
 * longer, and nobody else does.
 */
export class FairQueue<T> {
  readonly #groups = new Map<string, Group<T>>();
  readonly #ranking = new Ranking<Group<T>>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Puts an item at the end of its line. */
  push({ line: lineKey, group: groupKey }: Network, item: T): void {
    const group = this.#groups.get(groupKey) ?? { key: groupKey, count: 0, lines: new Map(), ranking: new Ranking() };
    if (group.count === 0) this.#groups.set(groupKey, group);
    const line = group.lines.get(lineKey) ?? { key: lineKey, group, items: [] };
    if (line.items.length === 0) group.lines.set(lineKey, line);
    line.items.push(item);
    this.#weigh(line, 1);
  }

  /** Takes out the item whose turn it is. Undefined where nothing waits. */
  shift(): T | undefined {
    for (const group of this.#groups.values()) {
      for (const line of group.lines.values()) {
        const item = line.items.shift();
        this.#weigh(line, -1);
        this.#groups.delete(group.key);
        group.lines.delete(line.key);
        if (line.items.length > 0) group.lines.set(line.key, line);
        if (group.count > 0) this.#groups.set(group.key, group);
        return item;
      }
    }
    return undefined;
  }

  /**
   * Takes out one item of those who ask most: the oldest, which has waited in vain already.
   * Undefined where nothing waits.
   */
  dropFromLongest(): T | undefined {
    for (const group of this.#ranking.descending()) {
      for (const line of group.ranking.descending()) {
        const item = line.items.shift();
        this.#weigh(line, -1);
        if (line.items.length === 0) group.lines.delete(line.key);
        if (group.count === 0) this.#groups.delete(group.key);
        return item;
      }
    }
    return undefined;
  }

  /** After an item was added or taken. */
  #weigh(line: Line<T>, change: 1 | -1): void {
    const { group, items } = line;
    group.ranking.move(line, items.length - change, items.length);
    this.#ranking.move(group, group.count, group.count + change);
    group.count += change;
    this.#length += change;
  }
}
