import { NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import type { Policy } from "../policy/lease.ts";
import type { LeaseRow, MachineRow, Transaction } from "../store/port.ts";
import type { Halted } from "./halts.ts";
import { insist, settleChange } from "./insist.ts";
import { leaseEntry, MAX_GRACE_MS } from "./leases.ts";
import type { Recorded } from "./queue.ts";
import type { Service } from "./service.ts";
import { alreadyRevoked, findMachine } from "./states.ts";

/** What an operator's change of a machine's policy, or a lease, has done. */
export interface Governed {
  /** False where it was so already. */
  readonly changed: boolean;
  readonly machine: MachineRow;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

type Done = Omit<Governed, "recorded">;

const MIN_LEASE_MS = 60_000;
const MAX_LEASE_MS = 86_400_000;

/**
 * Changes what must hold for a machine to be released. A lease that it has is void. What is not
 * `always` releases nothing from the moment in which this is asked.
 * @throws NightlatchError machine/unknown, machine/revoked, store/*
 */
export async function setPolicy(
  service: Service,
  nameOrId: string,
  { policy, by }: { readonly policy: Policy /** The operator's user id. */; readonly by: number },
): Promise<Governed> {
  const subject = subjectOf(nameOrId);
  const done = await insist(
    service,
    { subject, stops: policy !== "always" },
    async (transaction): Promise<Recorded<Done>> => {
      const machine = await findMachine(transaction, nameOrId);
      if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
      if (machine.policy === policy) return { outcome: { changed: false, machine }, entries: [] };
      const { id, name } = machine;
      await transaction.setPolicy(id, policy);
      const entry: Entry = { kind: "machine-policy", at: service.system.nowMs(), machine: id, name, policy, by };
      return { outcome: { changed: true, machine: { ...machine, policy, lease: null } }, entries: [entry] };
    },
  );
  return { ...done, recorded: await settleChange(service) };
}

/**
 * Opens a window for a machine, in place of the one that it has. Each latch is released in it once.
 * @throws NightlatchError machine/unknown, machine/locked, machine/revoked, lease/not-needed,
 *   lease/bad-time, store/*
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
    const nowMs = service.system.nowMs();
    const number = machine.leases + 1;
    const madeAt = (await transaction.tree()).size;
    const lease: LeaseRow = { number, untilMs: nowMs + lifetimeMs, graceMs, madeAt, by };
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
  const isWithin = (value: number, least: number, most: number) =>
    Number.isSafeInteger(value) && value >= least && value <= most;
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

function notNeeded({ name }: MachineRow): NightlatchError {
  return new NightlatchError("lease/not-needed", `the machine ${name} is released at any time: its policy is always`, {
    meaning: "Nothing was changed. A lease would say nothing.",
    remedy: `To have it released within a lease alone: nightlatch machine policy ${name} lease`,
  });
}
