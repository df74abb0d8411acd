import type { Entry } from "../../audit/entry.ts";
import { latestSince } from "../../audit/times.ts";
import { heldSite, resumedSite } from "../../policy/site.ts";
import type { Transaction } from "../../store/port.ts";
import type { GroupRow } from "../../store/rows.ts";
import { insist } from "../insist.ts";
import { isPassing } from "../queue.ts";
import type { Service } from "../service.ts";

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

/**
 * Why a site is held: an operator said so, so many fell silent together, or the server did not
 * listen.
 */
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
