// @ts-nocheck
import type { Network } from "../network.ts";
import { Ranking } from "./ranking.ts";

/** How many connections there may be. */
export interface PlaceLimits {
  readonly connections: number;
  /** Of one /24 of IPv4, or /48 of IPv6. */
  readonly connectionsOfOneGroup: number;
  /** Of one IPv4 address, or IPv6 /64. */
  readonly connectionsOfOneLine: number;
}

/** A connection's place, from its acceptance to its end. */
export interface Place<C> {
  readonly holder: C;
  readonly line: Line<C>;
}

interface Line<C> {
  readonly key: string;
  readonly group: Group<C>;
  count: number;
  /** Has sent no complete request yet; the oldest first. */
  readonly unfinished: Set<Place<C>>;
  /** Was answered and has no request in hand; the one that has rested longest first. */
  readonly resting: Set<Place<C>>;
}

interface Group<C> {
  readonly key: string;
  count: number;
  readonly lines: Map<string, Line<C>>;
  readonly ranking: Ranking<Line<C>>;
}

/**
 * Who is connected. Nobody is refused because others hold connections open: where there is no place
 * left, the connection gives way that has been waited for longest, in the network that has most of
 * them. One whose request is being answered never does.
 */
export class Places<C> {
  readonly #limits: PlaceLimits;
  readonly #groups = new Map<string, Group<C>>();
  readonly #ranking = new Ranking<Group<C>>();
  #count = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Finds room for a newcomer.
   * @returns null where there is room; whom to cut for it; `full` where everybody is being answered
   */
  makeRoom({ line: lineKey, group: groupKey }: Network): C | null | "full" {
    const { connections, connectionsOfOneGroup, connectionsOfOneLine } = this.#limits;
    const group = this.#groups.get(groupKey);
    const line = group?.lines.get(lineKey);
    if (line !== undefined && line.count >= connectionsOfOneLine) return victimIn([line]);
    if (group !== undefined && group.count >= connectionsOfOneGroup) return victimIn(group.ranking.descending());
    return this.#count < connections ? null : victimIn(this.#lines());
  }

  /** Gives a connection its place. */
  enter(holder: C, { line: lineKey, group: groupKey }: Network): Place<C> {
    const group = this.#groups.get(groupKey) ?? { key: groupKey, count: 0, lines: new Map(), ranking: new Ranking() };
    this.#groups.set(groupKey, group);
    const line = group.lines.get(lineKey) ?? newLine(lineKey, group);
    group.lines.set(lineKey, line);
    const place = { holder, line };
    line.unfinished.add(place);
    this.#weigh(line, 1);
    return place;
  }

  /** The connection has sent a complete request. */
  begin(place: Place<C>): void {
    if (!place.line.unfinished.delete(place)) place.line.resting.delete(place);
  }

  /** Its request was answered, or refused for what it sent. */
  rest(place: Place<C>): void {
    place.line.unfinished.delete(place);
    place.line.resting.add(place);
  }

  /** The connection has ended. */
  leave(place: Place<C>): void {
    this.begin(place);
    const { line } = place;
    this.#weigh(line, -1);
    if (line.count === 0) line.group.lines.delete(line.key);
    if (line.group.count === 0) this.#groups.delete(line.group.key);
  }

  #weigh(line: Line<C>, change: 1 | -1): void {
    const { group } = line;
    group.ranking.move(line, line.count, line.count + change);
    this.#ranking.move(group, group.count, group.count + change);
    line.count += change;
    group.count += change;
    this.#count += change;
  }

  *#lines(): Generator<Line<C>> {
    for (const group of this.#ranking.descending()) yield* group.ranking.descending();
  }
}

function newLine<C>(key: string, group: Group<C>): Line<C> {
  return { key, group, count: 0, unfinished: new Set(), resting: new Set() };
}

/**
 * Whoever keeps half of a line's places with nothing but requests of long ago makes the others so
 * few that a newcomer's first request would come too late.
 */
function victimIn<C>(lines: Iterable<Line<C>>): C | "full" {
  for (const { unfinished, resting } of lines) {
    const [first, second] = resting.size > unfinished.size ? [resting, unfinished] : [unfinished, resting];
    for (const place of first) return place.holder;
    for (const place of second) return place.holder;
  }
  return "full";
}
