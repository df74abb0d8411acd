// @ts-nocheck
import { unknown, type WorkBudget } from "./budget.ts";
import { type ParsedPattern, type Pattern, parsePattern } from "./regexp-parse.ts";

/** What matched: the whole, then each group; null for a group that took no part. */
type Matched = readonly (string | null)[];

/**
 * Matches as GRUB's `regexp` does (grub-core/commands/regexp.c): a POSIX extended expression, of
 * whose matches the leftmost and then the longest counts. Where each part can end is worked out
 * once for each place, so that nothing backtracks; the work is counted. Null where it does not
 * match, or is no expression.
 * @throws NightlatchError grub/unknown where what a group matched cannot be told, grub/malformed
 * where it takes too much work
 */
export function matchRegexp(
  expression: string,
  text: string,
  wantsGroups: boolean,
  budget: WorkBudget,
): Matched | null {
  const bytes = (value: string) => Buffer.from(value, "utf8").toString("latin1");
  const parsed = parsePattern(bytes(expression));
  if (parsed === null) return null;
  if (wantsGroups && repeatsGroup(parsed.pattern, false))
    throw unknown(`takes a part of what ${JSON.stringify(expression.slice(0, 40))} matched, which repeats a group`);
  const matching = new Matching(bytes(text), budget);
  const found = matching.find(parsed, wantsGroups);
  return found?.map((part) => (part === null ? null : Buffer.from(part, "latin1").toString("utf8"))) ?? null;
}

/** Which round of a repeated group counts is where programs differ. */
function repeatsGroup(pattern: Pattern, inRepeat: boolean): boolean {
  switch (pattern.kind) {
    case "group":
      return inRepeat || repeatsGroup(pattern.inner, inRepeat);
    case "both":
      return repeatsGroup(pattern.first, inRepeat) || repeatsGroup(pattern.then, inRepeat);
    case "either":
      return pattern.choices.some((choice) => repeatsGroup(choice, inRepeat));
    case "repeat":
      return repeatsGroup(pattern.inner, inRepeat || pattern.max > 1);
    default:
      return false;
  }
}

type Ends = ReadonlySet<number>;

class Matching {
  readonly #text: string;
  readonly #budget: WorkBudget;
  readonly #ends = new Map<Pattern, Map<number, Ends>>();

  constructor(text: string, budget: WorkBudget) {
    this.#text = text;
    this.#budget = budget;
  }

  find({ pattern, groups }: ParsedPattern, wantsGroups: boolean): (string | null)[] | null {
    for (let start = 0; start <= this.#text.length; start++) {
      const ends = this.#endsOf(pattern, start);
      if (ends.size === 0) continue;
      const end = [...ends].reduce((left, right) => Math.max(left, right));
      const parts: (string | null)[] = [this.#text.slice(start, end), ...Array<null>(groups).fill(null)];
      if (wantsGroups) this.#assign(pattern, start, end, parts);
      return parts;
    }
    return null;
  }

  /** Where the pattern can end if it begins there. */
  #endsOf(pattern: Pattern, start: number): Ends {
    this.#budget.spend(8);
    let known = this.#ends.get(pattern);
    if (known === undefined) {
      known = new Map();
      this.#ends.set(pattern, known);
    }
    const before = known.get(start);
    if (before !== undefined) return before;
    const ends = this.#work(pattern, start);
    this.#budget.spend(8 * ends.size + 8);
    known.set(start, ends);
    return ends;
  }

  #work(pattern: Pattern, start: number): Ends {
    switch (pattern.kind) {
      case "empty":
        return new Set([start]);
      case "start":
        return new Set(start === 0 ? [start] : []);
      case "end":
        return new Set(start === this.#text.length ? [start] : []);
      case "set":
        return new Set(start < this.#text.length && pattern.has(this.#text.charCodeAt(start)) ? [start + 1] : []);
      case "group":
        return this.#endsOf(pattern.inner, start);
      case "both":
        return this.#after(this.#endsOf(pattern.first, start), pattern.then);
      case "either": {
        const ends = new Set<number>();
        for (const choice of pattern.choices) this.#addAll(ends, this.#endsOf(choice, start));
        return ends;
      }
      case "repeat":
        return this.#repeated(pattern, start);
    }
  }

  #after(ends: Ends, then: Pattern): Ends {
    const all = new Set<number>();
    for (const end of ends) this.#addAll(all, this.#endsOf(then, end));
    return all;
  }

  #addAll(to: Set<number>, from: Ends): void {
    this.#budget.spend(4 * from.size);
    for (const end of from) to.add(end);
  }

  #repeated({ inner, min, max }: Extract<Pattern, { kind: "repeat" }>, start: number): Ends {
    let round: Ends = new Set([start]);
    for (let times = 0; times < min; times++) round = this.#after(round, inner);
    const all = new Set(round);
    for (let times = min; times < max && round.size > 0; times++) {
      const next = this.#after(round, inner);
      const fresh = [...next].filter((end) => !all.has(end));
      for (const end of fresh) all.add(end);
      round = new Set(fresh);
    }
    return all;
  }

  /**
   * The groups of a match whose ends are known: what stands further left takes as much as it can.
   */
  #assign(pattern: Pattern, start: number, end: number, parts: (string | null)[]): void {
    switch (pattern.kind) {
      case "group":
        parts[pattern.number] = this.#text.slice(start, end);
        this.#assign(pattern.inner, start, end, parts);
        return;
      case "both": {
        const fitting = [...this.#endsOf(pattern.first, start)].filter((at) => this.#endsOf(pattern.then, at).has(end));
        const at = fitting.reduce((left, right) => Math.max(left, right));
        this.#assign(pattern.first, start, at, parts);
        this.#assign(pattern.then, at, end, parts);
        return;
      }
      case "either": {
        const choice = pattern.choices.find((one) => this.#endsOf(one, start).has(end));
        if (choice !== undefined) this.#assign(choice, start, end, parts);
        return;
      }
      case "repeat":
        // A group in it is repeated at most once.
        if (end > start || pattern.min > 0) this.#assign(pattern.inner, start, end, parts);
        return;
      default:
        return;
    }
  }
}
