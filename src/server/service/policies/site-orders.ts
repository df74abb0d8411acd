import { NightlatchError } from "../../../core/errors.ts";
import type { Entry } from "../../audit/entry.ts";
import type { Rate } from "../../policy/site.ts";
import { DEFAULT_GROUP } from "../../policy/terms.ts";
import type { Transaction } from "../../store/port.ts";
import type { GroupRow } from "../../store/rows.ts";
import { hold } from "../alive/site-holds.ts";
import { type Insistence, insist, settleChange } from "../insist.ts";
import type { Service } from "../service.ts";
import { findGroup, type Grouped } from "./groups.ts";
import type { Operator } from "./policies.ts";
import { isWithin } from "./terms.ts";

const MAX_COUNT = 10_000;
const RATE_TIMES_MS: readonly number[] = [1_000, 60_000, 3_600_000];
const [MIN_OPEN_MS, MAX_OPEN_MS] = [60_000, 86_400_000];

/**
 * Holds a site: nobody of it is released from the moment in which this is asked.
 * @throws NightlatchError group/unknown, group/in-use, store/*
 */
export async function holdSite(service: Service, name: string, { by }: Operator): Promise<Grouped> {
  const subject = async (transaction: Transaction) => {
    await findSite(transaction, name);
    return { machine: new Set((await transaction.machinesIn(name)).map(({ id }) => id)), latch: null };
  };
  return change(service, { subject, stops: true }, name, async (transaction, group) => {
    return group.site.state === "held" ? null : hold(service, transaction, group, { by });
  });
}

/** How an operator lets the machines of a site in again. */
interface WantedWindow extends Operator {
  readonly rate: Rate;
  /** For how long. */
  readonly openMs: number;
}

/**
 * Lets the machines of a site in that is held, at a rate, for a while. With it come back those that
 * fell silent with it, from where they had been alive.
 * @throws NightlatchError group/unknown, group/in-use, site/not-held, site/bad-rate, store/*
 */
export async function releaseSite(service: Service, name: string, wanted: WantedWindow): Promise<Grouped> {
  requireWindow(wanted);
  const { rate, openMs, by } = wanted;
  const subject = async () => null;
  return change(service, { subject, stops: false }, name, async (transaction, group) => {
    const { site } = group;
    if (site.state === "free") throw notHeld(name);
    const [at, monotonicMs] = [service.system.nowMs(), service.system.monotonicMs()];
    const window = site.window + 1;
    const open = { rate, untilMs: at + openMs, savedMs: at, madeAt: (await transaction.tree()).size };
    await transaction.setGroup({ ...group, site: { ...site, state: "open", window, sinceMs: at, by, open } });
    const { lastMs = Number.NEGATIVE_INFINITY } = service.sites.of(name) ?? {};
    const now = { state: "open", hold: site.hold, window, rate, untilMs: monotonicMs + openMs, lastMs } as const;
    service.sites.set(name, now);
    const terms = { count: rate.count, per: rate.perMs, until: open.untilMs, by };
    return { kind: "site-release" as const, at, group: name, hold: site.hold, window, ...terms };
  });
}

/** Finds a group that machines can be in. @throws NightlatchError group/unknown, group/in-use */
async function findSite(transaction: Transaction, name: string): Promise<GroupRow> {
  const group = await findGroup(transaction, name);
  if (name !== DEFAULT_GROUP) return group;
  throw new NightlatchError("group/in-use", "the group default is no site: no machine is in it", {
    meaning: "Nothing was changed.",
    remedy: "See which there are: nightlatch group list",
  });
}

async function change(
  service: Service,
  insistence: Insistence,
  name: string,
  make: (transaction: Transaction, group: GroupRow) => Promise<Entry | null>,
): Promise<Grouped> {
  const done = await insist(service, insistence, async (transaction) => {
    const entry = await make(transaction, await findSite(transaction, name));
    const group = await findSite(transaction, name);
    const outcome = { changed: entry !== null, group, ...(await transaction.countIn(name)) };
    return { outcome, entries: entry === null ? [] : [entry] };
  });
  return { ...done, recorded: await settleChange(service) };
}

function requireWindow({ rate: { count, perMs }, openMs }: WantedWindow): void {
  if (isWithin(count, 1, MAX_COUNT) && RATE_TIMES_MS.includes(perMs) && isWithin(openMs, MIN_OPEN_MS, MAX_OPEN_MS))
    return;
  throw new NightlatchError(
    "site/bad-rate",
    "a site is released at 1 to 10000 machines a second, a minute or an hour",
    {
      meaning: "Nothing was changed, and nobody of it is released. Its window is open for a minute to a day.",
      remedy: "Give a rate such as --rate 60/m, and a time such as --for 1h.",
    },
  );
}

function notHeld(name: string): NightlatchError {
  return new NightlatchError("site/not-held", `the site ${name} is not held`, {
    meaning: "Nothing was changed: each machine of it is released as its policy says.",
    remedy: "See which are: nightlatch site list. A machine that is locked: nightlatch machine unlock NAME",
  });
}
