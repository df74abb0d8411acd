import { NightlatchError } from "../../../core/errors.ts";
import { isMachineName } from "../../../formats/own/enrolment.ts";
import type { Entry } from "../../audit/entry.ts";
import { areSameTerms, DEFAULT_GROUP } from "../../policy/terms.ts";
import type { Reads } from "../../store/port.ts";
import type { GroupRow, MachineRow, SiteRow } from "../../store/rows.ts";
import { type Insistence, insist, settleChange } from "../insist.ts";
import type { Operation } from "../queue.ts";
import type { Service } from "../service.ts";
import { type Governed, type Operator, saidOf } from "./policies.ts";
import { alreadyRevoked, findMachine } from "./states.ts";
import { applyTerms, completeTerms, loggedTerms, requireTighter, termsOf, type WantedTerms } from "./terms.ts";

/** What an operator's change of a group has done. */
export interface Grouped {
  /** False where it was so already. */
  readonly changed: boolean;
  readonly group: GroupRow;
  /** How many machines it has that are not revoked. */
  readonly machines: number;
  /** How many of them fell silent with it, and are not back. */
  readonly gone: number;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

/** What an operator wants to hold for the machines of a group. */
type WantedOfGroup = Operator & (WantedTerms | { readonly policy: "inherit" });

const NEVER_HELD: SiteRow = { state: "free", hold: 0, window: 0, sinceMs: null, by: null, open: null };
const NOBODY = { machines: 0, gone: 0 };

/** Nothing is stopped, and nobody looked up: changes are made in the order of their asking. */
const LATER: Insistence = { subject: async () => null, stops: false };

/**
 * Makes a group, of which nothing is said yet.
 * @throws NightlatchError group/bad-name, store/*
 */
export async function addGroup(service: Service, name: string, { by }: Operator): Promise<Grouped> {
  if (!isMachineName(name)) throw badName(name);
  return change(service, LATER, async (transaction) => {
    const known = await transaction.group(name);
    if (known !== null)
      return { outcome: { changed: false, group: known, ...(await transaction.countIn(name)) }, entries: [] };
    const at = service.system.nowMs();
    const group: GroupRow = { name, createdMs: at, terms: null, site: NEVER_HELD };
    await transaction.setGroup(group);
    return { outcome: { changed: true, group, ...NOBODY }, entries: [{ kind: "group-add", at, group: name, by }] };
  });
}

/**
 * Removes a group that has no machines, and awaits none.
 * @throws NightlatchError group/unknown, group/in-use, store/*
 */
export async function removeGroup(service: Service, name: string, { by }: Operator): Promise<Grouped> {
  return change(service, LATER, async (transaction) => {
    const group = await findGroup(transaction, name);
    const machines = await transaction.machinesIn(name);
    if (name === DEFAULT_GROUP || machines.length > 0) throw inUse(name, machines);
    const invited = (await transaction.openInvites()).find((invite) => invite.group === name);
    if (invited !== undefined) throw isAwaited(name, invited.name);
    await transaction.deleteGroup(name);
    service.sites.set(name, null);
    const entry: Entry = { kind: "group-remove", at: service.system.nowMs(), group: name, by };
    return { outcome: { changed: true, group, ...NOBODY }, entries: [entry] };
  });
}

/**
 * Changes what must hold for the machines of a group, but for those of which something was said by
 * themselves: at once, of all of them or, where one refuses it, of none. Of the group `default` it
 * is what a machine begins with; those that are there stay as they are. With `inherit` nothing is
 * said of the group any more, and its machines get what new ones do.
 * @throws NightlatchError group/unknown, policy/bad-terms, alive/bad-time, alive/not-heard,
 *   admin/denied, store/*
 */
export async function setGroupPolicy(service: Service, name: string, wanted: WantedOfGroup): Promise<Grouped> {
  const { by, mayLoosen } = wanted;
  const members = async (transaction: Reads) => {
    await findGroup(transaction, name);
    const found = await transaction.machinesIn(name);
    return found.filter(({ source }) => source !== "machine");
  };
  const subject: Insistence["subject"] = async (transaction) => {
    return { machine: new Set((await members(transaction)).map(({ id }) => id)), latch: null };
  };
  return change(service, { subject, stops: wanted.policy !== "always" }, async (transaction) => {
    const before = await findGroup(transaction, name);
    const { terms: former } = await saidOf(transaction, null, before);
    const terms = wanted.policy === "inherit" ? null : completeTerms(wanted, former.limits);
    if (terms === null && name === DEFAULT_GROUP) throw inheritsNothing();
    const group: GroupRow = { ...before, terms };
    await transaction.setGroup(group);
    if (mayLoosen === false) requireTighter(name, former, (await saidOf(transaction, null, group)).terms);
    const machines = await transaction.machinesIn(name);
    let changed = !(before.terms !== null && terms !== null
      ? areSameTerms(before.terms, terms)
      : before.terms === terms);
    for (const machine of machines.filter(({ source }) => source !== "machine")) {
      const said = await saidOf(transaction, machine, group);
      if (mayLoosen === false) requireTighter(machine.name, termsOf(machine), said.terms);
      changed = (await applyTerms(service, transaction, machine, said)) !== null || changed;
    }
    const outcome = { changed, group, ...(await transaction.countIn(name)) };
    if (!changed) return { outcome, entries: [] };
    const said = terms === null ? {} : loggedTerms(terms);
    return { outcome, entries: [{ kind: "group-policy", at: service.system.nowMs(), group: name, ...said, by }] };
  });
}

/**
 * Puts a machine into a group, out of the one that it is in; null: into none. What is said of the
 * group holds for it from then on, unless something was said of the machine itself.
 * @throws NightlatchError machine/unknown, machine/revoked, group/unknown, alive/not-heard,
 *   admin/denied, store/*
 */
export async function moveMachine(
  service: Service,
  nameOrId: string,
  name: string | null,
  { by, mayLoosen }: Operator,
): Promise<Governed> {
  const subject: Insistence["subject"] = async (transaction) => {
    return { machine: (await findMachine(transaction, nameOrId)).id, latch: null };
  };
  const done = await insist<Omit<Governed, "recorded">>(service, { subject, stops: true }, async (transaction) => {
    const machine = await findMachine(transaction, nameOrId);
    if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
    const group = name === null ? null : await findGroup(transaction, name);
    if (group?.name === DEFAULT_GROUP) throw nobodyIn();
    if (machine.group === name) return { outcome: { changed: false, machine }, entries: [] };
    const said = await saidOf(transaction, machine, group);
    if (mayLoosen === false) requireTighter(machine.name, termsOf(machine), said.terms);
    await transaction.setMembership(machine.id, name);
    // It leaves the site with which it fell silent, and so is silent alone.
    const moved = { ...machine, group: name, goneIn: null, goneFrom: null };
    const number = service.pulses.find(machine.id);
    if (number !== null) service.pulses.setGoneWithin(number, false);
    const changed = (await applyTerms(service, transaction, moved, said)) ?? moved;
    const at = service.system.nowMs();
    const own = { machine: machine.id, name: machine.name, by };
    const entry: Entry =
      name === null
        ? { kind: "group-leave", at, ...own, group: machine.group ?? "" }
        : { kind: "group-join", at, ...own, group: name };
    return { outcome: { changed: true, machine: changed }, entries: [entry] };
  });
  return { ...done, recorded: await settleChange(service) };
}

/** Finds a group. @throws NightlatchError group/unknown, store/* */
export async function findGroup(transaction: Reads, name: string): Promise<GroupRow> {
  const group = await transaction.group(name);
  if (group !== null) return group;
  throw new NightlatchError("group/unknown", `there is no group ${JSON.stringify(name.slice(0, 80))}`, {
    meaning: "Nothing was changed.",
    remedy: "See which there are: nightlatch group list. Make one: nightlatch group add NAME",
  });
}

async function change(
  service: Service,
  insistence: Insistence,
  operation: Operation<Omit<Grouped, "recorded">>,
): Promise<Grouped> {
  const done = await insist(service, insistence, operation);
  return { ...done, recorded: await settleChange(service) };
}

function badName(name: string): NightlatchError {
  return new NightlatchError("group/bad-name", `${JSON.stringify(name.slice(0, 80))} is no name for a group`, {
    meaning: "Nothing was changed.",
    remedy: "Give up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or a digit.",
  });
}

function inUse(name: string, machines: readonly MachineRow[]): NightlatchError {
  const isDefault = name === DEFAULT_GROUP;
  const why = isDefault
    ? `the group ${name} says what new machines begin with`
    : `the group ${name} has machines: ${machines.length}`;
  return new NightlatchError("group/in-use", why, {
    meaning: "Nothing was changed.",
    remedy: isDefault
      ? "Say what they begin with: nightlatch group policy default always"
      : `Take them out first: nightlatch group leave ${machines[0]?.name ?? "NAME"}`,
  });
}

function isAwaited(name: string, machine: string): NightlatchError {
  return new NightlatchError("group/in-use", `${machine} is invited into the group ${name}`, {
    meaning: "Nothing was changed.",
    remedy: `Take the invite back first: nightlatch machine uninvite ${machine}`,
  });
}

/** Nobody is put into the group of those that are to come. */
export function nobodyIn(): NightlatchError {
  return new NightlatchError("group/in-use", "no machine is in the group default: it is of those that are to come", {
    meaning: "Nothing was changed.",
    remedy: "To have a machine in no group: nightlatch group leave NAME, or an invite without --group.",
  });
}

function inheritsNothing(): NightlatchError {
  return new NightlatchError("policy/bad-terms", "there is nothing that new machines could inherit", {
    meaning: "Nothing was changed.",
    remedy: "Say what they begin with: nightlatch group policy default always",
  });
}
