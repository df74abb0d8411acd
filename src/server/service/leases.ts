import { identityThumbprint } from "../../formats/own/enrolment.ts";
import { buildLeaseAnswer, type LeaseRequest } from "../../formats/own/lease.ts";
import type { Entry } from "../audit/entry.ts";
import { latestSince } from "../audit/times.ts";
import { hasExpired } from "../policy/expiry.ts";
import { take } from "../policy/pace.ts";
import type { Transaction } from "../store/port.ts";
import type { LatchRow, LeaseRow, MachineRow } from "../store/rows.ts";
import { isPassing, type Recorded } from "./queue.ts";
import type { Service } from "./service.ts";

/** The longest window that a machine opens for itself. It asks for its next boot, not for a day. */
const MAX_ANNOUNCED_MS = 1_800_000;
/** The longest grace. */
export const MAX_GRACE_MS = 600_000;

/** Why a machine gets no lease. `lease/stale`: the challenge is none that is good now. */
export type LeaseRefusal =
  | "machine/unknown"
  | "machine/locked"
  | "machine/revoked"
  | "lease/needs-approval"
  | "lease/stale"
  | "lease/too-many"
  | "lease/other-server";

/** What is answered: a signed message, or a refusal. */
type LeaseOutcome = { readonly answer: Buffer } | { readonly refused: LeaseRefusal };

type Given = { readonly lease: LeaseRow | null; readonly isNeeded: boolean } | { readonly refused: LeaseRefusal };

/** A machine's request, verified as far as its own signature goes, and its bytes. */
interface Received {
  readonly request: LeaseRequest;
  readonly body: Uint8Array;
  readonly from: string;
}

/**
 * Gives the challenge that a machine's next request has to sign. One that is not known gets one
 * too, so that nobody learns from it which there are.
 * @throws NightlatchError store/*
 */
export async function challenge(service: Service, machineId: string): Promise<string> {
  const machine = await service.store.transact((transaction) => transaction.machine(machineId));
  return service.challenges.make(machineId, machine?.leases ?? 0);
}

/**
 * Opens the window that a running machine asks for, or ends it: `POST /machine/{machine}/lease` of
 * docs/format/lease.md. Where nothing has to be opened, since the machine's policy is another,
 * nothing is recorded.
 * @throws NightlatchError store/*
 */
export async function takeAnnouncement(service: Service, received: Received): Promise<LeaseOutcome> {
  const given = await service.queue.submit((transaction) => give(service, transaction, received));
  if ("refused" in given) return given;
  const seconds = given.lease === null ? 0 : Math.floor((given.lease.untilMs - service.system.nowMs()) / 1000);
  const answer = { isNeeded: given.isNeeded, seconds: Math.max(0, seconds) };
  return { answer: buildLeaseAnswer(service.identity, received.body, answer) };
}

async function give(service: Service, transaction: Transaction, received: Received): Promise<Recorded<Given>> {
  const { request, from } = received;
  const machine = await transaction.machine(request.machine);
  if (machine === null) return refuse(service, received, "machine/unknown");
  if (request.server !== identityThumbprint(service.identity)) return refuse(service, received, "lease/other-server");
  if (!service.challenges.isGood(request.challenge, machine.id, machine.leases))
    return refuse(service, received, "lease/stale", machine.id);
  if (machine.state !== "active") return refuse(service, received, `machine/${machine.state}`, machine.id);
  if (service.halts.includes(machine.id, "")) return refuse(service, received, "machine/locked", machine.id);
  if (machine.policy === "always") return { outcome: { lease: null, isNeeded: false }, entries: [] };
  // Operators would be asked for nothing if the machine could open a window by itself.
  if (machine.policy === "approval") return refuse(service, received, "lease/needs-approval", machine.id);
  const nowMs = service.system.nowMs();
  const pace = take(service.paces.of(machine.id), nowMs);
  if (pace === null) return refuse(service, received, "lease/too-many", machine.id);
  service.paces.set(machine.id, pace);
  const tree = await transaction.tree();
  const latestMs = latestSince(tree.times, machine.lease?.madeAt ?? tree.size);
  const operators = openOperators(machine, { nowMs, latestMs });
  const wanted = wantedLease(machine, request, { nowMs, madeAt: tree.size });
  const lease =
    operators === null || (wanted?.untilMs ?? 0) > operators.untilMs ? wanted : renewed(operators, tree.size);
  await transaction.setLease(machine.id, lease);
  return {
    outcome: { lease, isNeeded: true },
    entries: [entryOf(machine, lease, from, nowMs)].filter((one) => one !== null),
  };
}

/** What an operator has opened is not for the machine to end, nor to cut short. */
function openOperators(
  { lease }: MachineRow,
  times: { readonly nowMs: number; readonly latestMs: number },
): LeaseRow | null {
  return lease === null || lease.by === null || hasExpired(lease.untilMs, times) ? null : lease;
}

function wantedLease(
  { leases }: MachineRow,
  { seconds, graceSeconds }: LeaseRequest,
  { nowMs, madeAt }: { readonly nowMs: number; readonly madeAt: number },
): LeaseRow | null {
  if (seconds === 0) return null;
  const untilMs = nowMs + Math.min(seconds * 1000, MAX_ANNOUNCED_MS);
  return {
    number: leases + 1,
    untilMs,
    graceMs: Math.min(graceSeconds * 1000, MAX_GRACE_MS),
    madeAt,
    by: null,
    to: null,
  };
}

/** The same window, in which every latch is released once more. */
function renewed(lease: LeaseRow, madeAt: number): LeaseRow {
  return { ...lease, number: lease.number + 1, madeAt };
}

/** What the log says of it; null where a window is ended that is none. */
function entryOf(machine: MachineRow, lease: LeaseRow | null, from: string, at: number): Entry | null {
  if (lease !== null) return leaseEntry(machine.id, lease, { at, from });
  if (machine.lease === null) return null;
  return { kind: "lease-end", at, machine: machine.id, lease: machine.lease.number, from };
}

/** The entry of a lease that a machine got. */
export function leaseEntry(
  machine: string,
  { number, untilMs, graceMs, by, to }: LeaseRow,
  { at, from, request }: { readonly at: number; readonly from?: string; readonly request?: string },
): Entry {
  return {
    kind: "lease",
    at,
    machine,
    lease: number,
    until: untilMs,
    grace: graceMs,
    ...(from === undefined ? {} : { from }),
    ...(by === null ? {} : { by }),
    ...(to === null ? {} : { to }),
    ...(request === undefined ? {} : { request }),
  };
}

/**
 * Ends the leases whose time is over; they stay so, whatever the clock says later.
 * @throws NightlatchError store/*
 */
export async function endPastLeases(service: Service): Promise<void> {
  await service.queue.submit(async (transaction) => {
    const nowMs = service.system.nowMs();
    const entries: Entry[] = [];
    for (const { id, lease } of await transaction.machinesPastLease(nowMs)) {
      if (lease === null) continue;
      await transaction.setLease(id, null);
      entries.push({ kind: "lease-end", at: nowMs, machine: id, lease: lease.number });
    }
    return { outcome: null, entries };
  });
}

/**
 * For how many seconds from now on a lease of the machine is open; 0 where none is. A window that
 * operators approved of for one address is none: it is for the boot that asks, and says nothing of
 * a machine that is to be away. What cannot be read for now counts as none.
 * @throws NightlatchError store/*, other than what passes by itself
 */
export async function leaseSecondsOf({ store, system }: Service, machineId: string): Promise<number> {
  try {
    return await store.transact(async (transaction) => {
      const lease = (await transaction.machine(machineId))?.lease;
      if (!lease || lease.to !== null) return 0;
      const nowMs = system.nowMs();
      const latestMs = latestSince((await transaction.tree()).times, lease.madeAt);
      return hasExpired(lease.untilMs, { nowMs, latestMs }) ? 0 : Math.floor((lease.untilMs - nowMs) / 1000);
    });
  } catch (error) {
    if (isPassing(error)) return 0;
    throw error;
  }
}

/**
 * Gives the number of the lease in which a machine has booted, if what it does now is done after
 * that boot: a latch of it was released in the lease. Null where there is none.
 */
export async function bootedIn(
  transaction: Pick<Transaction, "latchesOf">,
  { id, lease }: MachineRow,
): Promise<number | null> {
  if (lease === null) return null;
  const latches = await transaction.latchesOf(id);
  return latches.some(({ use }) => use?.lease === lease.number) ? lease.number : null;
}

/**
 * Ends the lease of a machine that is heard in a session which it opened after a release in that
 * lease: it has booted, so its answers have come, and the rest of the grace is a thief's. A latch
 * that was not released in it yet may be of a volume that opens late, and the lease goes on for it.
 * Where the store cannot be written the next heartbeat tries again.
 * @param number of the machine in `pulses`
 */
export async function endLeaseOfBoot(service: Service, number: number): Promise<void> {
  const booted = service.cameUp.get(number);
  if (booted === undefined) return;
  try {
    const isOver = await service.queue.submit(async (transaction) => {
      const machine = await transaction.machine(service.pulses.idOf(number));
      if (machine?.lease?.number !== booted) return { outcome: true, entries: [] };
      if (!hasReleasedAll(await transaction.latchesOf(machine.id), booted)) return { outcome: false, entries: [] };
      await transaction.setLease(machine.id, null);
      const at = service.system.nowMs();
      const entry: Entry = { kind: "lease-end", at, machine: machine.id, lease: booted, why: "booted" };
      return { outcome: true, entries: [entry] };
    });
    if (isOver && service.cameUp.get(number) === booted) service.cameUp.delete(number);
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

/** A latch that is locked or revoked is not waited for. */
function hasReleasedAll(latches: readonly LatchRow[], lease: number): boolean {
  return latches.every(({ state, use }) => state !== "active" || use?.lease === lease);
}

function refuse(service: Service, { from }: Received, reason: LeaseRefusal, subject?: string): Recorded<Given> {
  const refusal = subject === undefined ? { reason } : { reason, subject };
  const entry = service.refusals.count(refusal, from, service.system.nowMs());
  return { outcome: { refused: reason }, entries: entry === null ? [] : [entry] };
}
