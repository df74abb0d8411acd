import { FollowingMap, Memory } from "../../memory.ts";
import { heldSite, type Site } from "../../policy/site.ts";

/**
 * The sites that are held, or in a window after a hold, by their groups' names. It is in memory, so
 * that a release reads nothing more; it follows the transactions, and the store has the same.
 */
export class Sites {
  readonly #sites: Map<string, Site>;
  readonly #missed = new Set<string>();

  constructor(memory = new Memory()) {
    this.#sites = new FollowingMap(memory);
  }

  /** Null where it is as ever. */
  of(group: string): Site | null {
    return this.#sites.get(group) ?? null;
  }

  /** Sets it; null: it is as ever. */
  set(group: string, site: Site | null): void {
    if (site === null) this.#sites.delete(group);
    else this.#sites.set(group, site);
  }

  /** Notes that a machine was let in. */
  enter(group: string, monotonicMs: number): void {
    const site = this.#sites.get(group);
    if (site !== undefined) this.#sites.set(group, { ...site, lastMs: monotonicMs });
  }

  /**
   * The server has not listened: windows that were over meanwhile are holds again. Nobody could
   * come back in them, and nobody is locked for that.
   */
  missOver(monotonicMs: number): void {
    for (const name of this.over(monotonicMs)) {
      const { hold = 0, window = 0 } = this.of(name) ?? {};
      this.set(name, heldSite(hold, window));
      this.miss(name);
    }
  }

  /** The window of a site was missed, which is to be written. */
  miss(group: string): void {
    this.#missed.add(group);
  }

  /** The sites of which that is not written yet. */
  get missed(): readonly string[] {
    return [...this.#missed];
  }

  /** It is. */
  settle(group: string): void {
    this.#missed.delete(group);
  }

  /** Whether a window is open somewhere. */
  get isAnyOpen(): boolean {
    return [...this.#sites.values()].some(({ state }) => state === "open");
  }

  /** The groups whose windows are over. */
  over(monotonicMs: number): string[] {
    const isOver = ({ state, untilMs }: Site) => state === "open" && monotonicMs >= untilMs;
    return [...this.#sites].filter(([, site]) => isOver(site)).map(([group]) => group);
  }
}
