/** Faults of sites, which fall silent together, are held and are released at a rate. */
import { packAddress } from "../../src/server/service/memory/place.ts";
import type { Sites } from "../../src/server/service/memory/sites.ts";
import type { Service } from "../../src/server/service/service.ts";
import type { Transaction } from "../../src/server/store/port.ts";
import type { GroupRow } from "../../src/server/store/rows.ts";
import { altered, type Fault } from "./faults.ts";

const THIEF = "198.51.100.66";

/** A service whose sites have other methods. */
function standing(change: (sites: Sites) => Partial<Sites>): (service: Service) => Service {
  return (service) => ({ ...service, sites: altered(service.sites, change(service.sites)) });
}

/** A transaction that sees all groups otherwise, as a start does. */
function starting(change: (group: GroupRow) => GroupRow): (transaction: Transaction) => Transaction {
  return (transaction) => altered(transaction, { groups: async () => (await transaction.groups()).map(change) });
}

export const FAULTS_OF_SITES: readonly Fault[] = [
  {
    name: "a site that is held is not looked at",
    breaks: ["policy", "alive"],
    isOfSites: true,
    isQuick: true,
    service: standing(() => ({ of: () => null })),
  },
  {
    name: "a site is released at any rate",
    breaks: ["policy"],
    isOfSites: true,
    service: standing(() => ({ enter: () => {} })),
  },
  {
    name: "a site that falls silent is locked machine by machine",
    breaks: ["alive"],
    isOfSites: true,
    transaction: (transaction) => altered(transaction, { aliveIn: async () => [] }),
  },
  {
    name: "the window of a site has no end",
    breaks: ["alive", "policy"],
    isOfSites: true,
    service: standing((sites) => ({
      over: () => [],
      of: (group) => {
        const site = sites.of(group);
        return site?.state === "open" ? { ...site, untilMs: Number.POSITIVE_INFINITY } : site;
      },
    })),
  },
  {
    name: "a start forgets that a site is held",
    breaks: ["policy", "alive"],
    isOfSites: true,
    transaction: starting((group) => ({ ...group, site: { ...group.site, state: "free" } })),
  },
  {
    name: "a start opens the window of a site again",
    breaks: ["policy", "alive"],
    isOfSites: true,
    transaction: starting((group) =>
      group.site.open === null
        ? group
        : { ...group, site: { ...group.site, open: { ...group.site.open, untilMs: group.site.open.untilMs * 2 } } },
    ),
  },
  {
    name: "a machine comes back from elsewhere than it had been",
    breaks: ["policy", "liveness"],
    isOfSites: true,
    transaction: (transaction) =>
      altered(transaction, {
        setGone: (id, gone) => transaction.setGone(id, { ...gone, goneFrom: Buffer.from(packAddress(THIEF)) }),
      }),
  },
  {
    name: "who was let in is not noted",
    breaks: ["policy", "liveness"],
    isOfSites: true,
    transaction: (transaction) => altered(transaction, { setLetIn: async () => {} }),
  },
  {
    name: "what is gone with its site does not come back",
    breaks: ["liveness"],
    isOfSites: true,
    transaction: (transaction) =>
      altered(transaction, {
        release: async (latchId) => {
          const row = await transaction.release(latchId);
          return row?.goneIn == null ? row : { ...row, goneIn: row.goneIn - 1 };
        },
      }),
  },
];
