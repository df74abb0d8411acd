/**
 * Things by their weight, which is a small whole number. A change of one costs the same however
 * many there are.
 */
// @ts-nocheck

export class Ranking<T> {
  readonly #byWeight: (Set<T> | undefined)[] = [];
  #most = 0;

  /** Changes a weight. A thing of weight 0 is not ranked. */
  move(item: T, from: number, to: number): void {
    if (from > 0) this.#byWeight[from]?.delete(item);
    if (to > 0) {
      const equals = this.#byWeight[to] ?? new Set();
      this.#byWeight[to] = equals.add(item);
    }
    if (to > this.#most) this.#most = to;
    while (this.#most > 0 && !this.#byWeight[this.#most]?.size) this.#most--;
  }

  /** Gives the things, heaviest first. */
  *descending(): Generator<T> {
    for (let weight = this.#most; weight > 0; weight--) yield* this.#byWeight[weight] ?? [];
  }
}
