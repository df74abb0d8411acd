import type { Entry } from "../audit/entry.ts";
import { latestSince } from "../audit/times.ts";
import { FollowingMap, Memory } from "../memory.ts";
import { heldSite, resumedSite, type Site } from "../policy/site.ts";
import type { GroupRow, Transaction } from "../store/port.ts";
import { insist } from "./insist.ts";
import { isPassing } from "./queue.ts";
import type { Service } from "./service.ts";

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

/**
 * Takes up at a start which sites are held. A window that is over by then, or of which the clock
 * says nothing, becomes a hold again, with an entry; on a full disk without, until the next start.
 * @throws NightlatchError store/*
 */
export async function resumeSites(service: Service): Promise<void> {
  const { system, sites, store } = service;
  const [nowMs, monotonicMs] = [system.nowMs(), system.monotonicMs()];
  await store.transact(async (transaction) => {
    const { times } = await transaction.tree();
    for (const { name, site } of await transaction.groups()) {
      const latestMs = latestSince(times, site.open?.madeAt ?? 0);
      const resumed = resumedSite(site, { nowMs, latestMs, monotonicMs });
      sites.set(name, resumed);
      if (resumed?.state === "held" && site.state === "open") sites.miss(name);
    }
  });
  try {
    await holdMissed(service);
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

/**
 * Writes that sites are held whose windows the server has missed. They are held before that.
 * @throws NightlatchError store/*
 */
export async function holdMissed(service: Service): Promise<void> {
  for (const name of service.sites.missed) {
    await insist(service, { subject: async () => null, stops: false }, async (transaction) => {
      const group = await transaction.group(name);
      const isOpen = group?.site.state === "open";
      const entries = isOpen ? [await hold(service, transaction, group, { restart: 1 })] : [];
      return { outcome: null, entries };
    });
    service.sites.settle(name);
  }
}

/** Why a site is held: an operator said so, so many fell silent together, or the server restarted. */
type HoldReason = { readonly by: number } | { readonly silent: number; readonly of: number } | { readonly restart: 1 };

/** Holds a site within a transaction. @returns what the log says of it */
export async function hold(
  service: Service,
  transaction: Transaction,
  group: GroupRow,
  why: HoldReason,
): Promise<Entry> {
  const at = service.system.nowMs();
  const { site } = group;
  const number = site.state === "free" ? site.hold + 1 : site.hold;
  const by = "by" in why ? why.by : null;
  await transaction.setGroup({ ...group, site: { ...site, state: "held", hold: number, sinceMs: at, by, open: null } });
  service.sites.set(group.name, heldSite(number, site.window));
  return { kind: "site-hold", at, group: group.name, hold: number, ...why };
}
