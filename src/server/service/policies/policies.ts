import { NightlatchError } from "../../../core/errors.ts";
import type { Entry } from "../../audit/entry.ts";
import { DEFAULT_GROUP, resolveTerms, type Terms, type TermsSource } from "../../policy/terms.ts";
import type { Reads, Transaction } from "../../store/port.ts";
import type { GroupRow, LeaseRow, MachineRow } from "../../store/rows.ts";
import { insist, settleChange } from "../insist.ts";
import { leaseEntry, MAX_GRACE_MS } from "../leases.ts";
import type { Halted } from "../memory/halts.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { alreadyRevoked, findMachine } from "./states.ts";
import {
  applyTerms,
  completeTerms,
  isWithin,
  loggedTerms,
  PLAIN_TERMS,
  requireTighter,
  termsOf,
  type WantedTerms,
} from "./terms.ts";

/** What an operator's change of a machine's policy, or a lease, has done. */
export interface Governed {
  /** False where it was so already. */
  readonly changed: boolean;
  readonly machine: MachineRow;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

type Done = Omit<Governed, "recorded">;

/** Who changes something, and how much that may be. */
export interface Operator {
  /** The operator's user id. */
  readonly by: number;
  /** False where the operator may not have more released than before. */
  readonly mayLoosen?: boolean;
}

/** What an operator wants to hold for a machine. */
export type WantedPolicy = Operator & (WantedTerms | { readonly policy: "inherit" });

const MIN_LEASE_MS = 60_000;
const MAX_LEASE_MS = 86_400_000;

/**
 * Changes what must hold for a machine to be released. A lease that it has is void, and so is what
 * operators were asked for. What is not `always` releases nothing from the moment in which this is
 * asked. With `inherit` its group says what holds, or else what is said of new machines now.
 * @throws NightlatchError machine/unknown, machine/revoked, policy/bad-terms, alive/bad-time,
 *   alive/not-heard, admin/denied, store/*
 */
export async function setPolicy(service: Service, nameOrId: string, wanted: WantedPolicy): Promise<Governed> {
  const { policy, by } = wanted;
  const subject = subjectOf(nameOrId);
  const done = await insist(
    service,
    { subject, stops: policy !== "always" },
    async (transaction): Promise<Recorded<Done>> => {
      const machine = await findMachine(transaction, nameOrId);
      if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
      const group = machine.group === null ? null : await transaction.group(machine.group);
      const { terms, source } =
        wanted.policy === "inherit"
          ? await saidOf(transaction, machine.source === "machine" ? null : machine, group)
          : { terms: completeTerms(wanted, machine.limits), source: "machine" as const };
      if (wanted.mayLoosen === false) requireTighter(machine.name, termsOf(machine), terms);
      const changed = await applyTerms(service, transaction, machine, { terms, source });
      if (changed === null) return { outcome: { changed: false, machine }, entries: [] };
      const { id: subject, name } = machine;
      const at = service.system.nowMs();
      const entry: Entry = { kind: "machine-policy", at, machine: subject, name, ...loggedTerms(terms), source, by };
      return { outcome: { changed: true, machine: changed }, entries: [entry] };
    },
  );
  return { ...done, recorded: await settleChange(service) };
}

/**
 * What holds for a machine in this group. One that has what new machines had when it enrolled keeps
 * that, unless its group says more.
 * @param machine null: one of which nothing was said
 * @param group null: it is in none
 */
export async function saidOf(
  transaction: Reads,
  machine: MachineRow | null,
  group: GroupRow | null,
): Promise<{ readonly terms: Terms; readonly source: TermsSource }> {
  const held = machine === null ? null : termsOf(machine);
  const byDefault = (await transaction.group(DEFAULT_GROUP))?.terms ?? PLAIN_TERMS;
  return resolveTerms({
    machine: machine?.source === "machine" ? held : null,
    group: group?.terms ?? null,
    byDefault: machine?.source === "default" && held !== null ? held : byDefault,
  });
}

/**
 * Opens a window for a machine, in place of the one that it has. Each latch is released in it once.
 * @throws NightlatchError machine/unknown, machine/locked, machine/revoked, lease/not-needed,
 *   lease/needs-approval, lease/bad-time, store/*
 */
export async function grantLease(
  service: Service,
  nameOrId: string,
  wanted: { readonly lifetimeMs: number; readonly graceMs: number; readonly by: number },
): Promise<Governed> {
  requireTimes(wanted);
  const { lifetimeMs, graceMs, by } = wanted;
  const subject = subjectOf(nameOrId);
  const done = await insist(service, { subject, stops: false }, async (transaction): Promise<Recorded<Done>> => {
    const machine = await findMachine(transaction, nameOrId);
    if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
    if (machine.state === "locked") throw locked(machine);
    if (machine.policy === "always") throw notNeeded(machine);
    // One operator would open what several must agree on.
    if (machine.policy === "approval") throw needsApproval(machine);
    const nowMs = service.system.nowMs();
    const number = machine.leases + 1;
    const madeAt = (await transaction.tree()).size;
    const lease: LeaseRow = { number, untilMs: nowMs + lifetimeMs, graceMs, madeAt, by, to: null };
    await transaction.setLease(machine.id, lease);
    const entry = leaseEntry(machine.id, lease, { at: nowMs });
    return { outcome: { changed: true, machine: { ...machine, leases: number, lease } }, entries: [entry] };
  });
  return { ...done, recorded: await settleChange(service) };
}

function subjectOf(nameOrId: string): (transaction: Transaction) => Promise<Halted> {
  return async (transaction) => ({ machine: (await findMachine(transaction, nameOrId)).id, latch: null });
}

function requireTimes({ lifetimeMs, graceMs }: { readonly lifetimeMs: number; readonly graceMs: number }): void {
  if (isWithin(lifetimeMs, MIN_LEASE_MS, MAX_LEASE_MS) && isWithin(graceMs, 0, MAX_GRACE_MS)) return;
  throw new NightlatchError(
    "lease/bad-time",
    "a lease lasts for at least a minute and at most a day, its grace for at most 10 minutes",
    { meaning: "Nothing was changed.", remedy: "Give times in between, such as 15m with --grace 60s." },
  );
}

function locked({ name }: MachineRow): NightlatchError {
  return new NightlatchError("machine/locked", `the machine ${name} is locked: it gets no lease`, {
    meaning: "Nothing was changed, and nothing is released to it.",
    remedy: `Unlock it first: nightlatch machine unlock ${name}`,
  });
}

function needsApproval({ name }: MachineRow): NightlatchError {
  return new NightlatchError("lease/needs-approval", `the machine ${name} is released once operators approve, alone`, {
    meaning: "Nothing was changed, and nothing is released to it.",
    remedy: `Approve of the address that it will ask from: nightlatch request approve ${name}@ADDRESS`,
  });
}

function notNeeded({ name }: MachineRow): NightlatchError {
  return new NightlatchError("lease/not-needed", `the machine ${name} is released at any time: its policy is always`, {
    meaning: "Nothing was changed. A lease would say nothing.",
    remedy: `To have it released within a lease alone: nightlatch machine policy ${name} lease`,
  });
}
