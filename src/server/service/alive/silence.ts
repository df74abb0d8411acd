import type { Entry } from "../../audit/entry.ts";
import { heard } from "../../policy/alive.ts";
import { countSilent, isOfSite, type Silence } from "../../policy/site.ts";
import type { Transaction } from "../../store/port.ts";
import type { MachineRow } from "../../store/rows.ts";
import type { SiteNotice } from "../memory/notices.ts";
import { isSamePlace } from "../memory/place.ts";
import type { Service } from "../service.ts";
import { hold } from "./site-holds.ts";

/** The machines of a site under `alive` that are not locked, by their numbers. */
export type Members = ReadonlyMap<number, Silence>;

/**
 * Reads those of a group; null: of none.
 * @param known those that were read in this transaction already; they are the same in all of it
 */
export async function membersOf(
  service: Service,
  transaction: Transaction,
  group: string | null,
  known: Map<string, Members>,
): Promise<Members> {
  const before = known.get(group ?? "");
  if (before !== undefined) return before;
  const site = group === null ? null : service.sites.of(group);
  const members = new Map<number, Silence>();
  for (const { id, goneIn } of group === null ? [] : await transaction.aliveIn(group)) {
    const number = service.pulses.find(id);
    const pulse = number === null ? null : service.pulses.pulseOf(number);
    // What has gone in another hold has nothing to say of this one.
    if (number === null || pulse === null || (goneIn !== null && goneIn !== site?.hold)) continue;
    members.set(number, { timeoutMs: pulse.timeoutMs, dueMs: pulse.dueMs, isGone: goneIn !== null });
  }
  known.set(group ?? "", members);
  return members;
}

/**
 * Has a machine go with its site, where it fell silent with others: the site is held, and the
 * machine is not locked. Within a transaction.
 * @param machine one whose time is over
 * @returns the machine, and what the log and operators are told where the site was not held before;
 *   null where it fell silent alone
 */
export async function goWithSite(
  service: Service,
  transaction: Transaction,
  machine: MachineRow,
  { number, members }: { readonly number: number; readonly members: Members },
): Promise<{
  readonly machine: MachineRow;
  readonly entries: readonly Entry[];
  readonly notices: readonly SiteNotice[];
} | null> {
  const group = machine.group === null ? null : await transaction.group(machine.group);
  const own = members.get(number);
  if (group === null || own === undefined) return null;
  const others = [...members].filter(([other]) => other !== number).map(([, silence]) => silence);
  const counted = countSilent(own, others, service.system.monotonicMs());
  if (!isOfSite(counted)) return null;
  const isHeld = group.site.state === "held";
  const entries = isHeld ? [] : [await hold(service, transaction, group, counted)];
  const notices: SiteNotice[] = isHeld ? [] : [{ type: "site.held", site: group.name, ...counted }];
  const goneIn = service.sites.of(group.name)?.hold ?? 0;
  const goneFrom = service.pulses.placeOf(number) ?? machine.seenFrom;
  await transaction.setGone(machine.id, { goneIn, goneFrom });
  service.pulses.setGoneWithin(number, true);
  return { machine: { ...machine, goneIn, goneFrom }, entries, notices };
}

/**
 * A machine that fell silent with its site is heard again: after an outage of the network it was
 * never off. Within a window of its site, from where it had been alive, it is as ever from then on;
 * no key is released for that. Before, it stays as it is.
 * @throws NightlatchError store/*
 */
export async function hearReturn(service: Service, number: number): Promise<void> {
  const { pulses, sites, system, queue } = service;
  if (!sites.isAnyOpen) return;
  await queue.submit(async (transaction) => {
    const machine = await transaction.machine(pulses.idOf(number));
    const site = machine?.group == null ? null : sites.of(machine.group);
    const pulse = pulses.pulseOf(number);
    const isOpen = site?.state === "open" && system.monotonicMs() < site.untilMs;
    const [place, home] = [pulses.placeOf(number), machine?.goneFrom ?? null];
    const isHome = home !== null && place !== null && isSamePlace(home, place);
    if (machine === null || site === null || pulse === null || !isOpen || !isHome || machine.goneIn !== site.hold)
      return { outcome: null, entries: [] };
    const back = heard({ ...pulse, dueMs: Number.POSITIVE_INFINITY }, system.monotonicMs());
    await transaction.setLetIn(machine.id, site.window);
    pulses.setGoneWithin(number, false);
    pulses.setPulseWithin(number, back);
    return { outcome: null, entries: [], wrote: true };
  });
}
