import { NightlatchError } from "../../../core/errors.ts";
import type { Entry } from "../../audit/entry.ts";
import { latestSince } from "../../audit/times.ts";
import { networkOf, parseAddress } from "../../network.ts";
import type { Queue } from "../../policy/decide.ts";
import { hasExpired } from "../../policy/expiry.ts";
import { judgeVote } from "../../policy/request.ts";
import type { Reads, Transaction } from "../../store/port.ts";
import type { LeaseRow, MachineRow, RequestRow } from "../../store/rows.ts";
import { insist, settleChange } from "../insist.ts";
import { leaseEntry } from "../leases.ts";
import type { Notice, RequestNotice } from "../memory/notices.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { findMachine } from "./states.ts";

/** How long an approved window is open: the machine asks again by itself meanwhile. */
const OPEN_MS = 600_000;
/** How long a latch is answered again after its first release in it. */
const GRACE_MS = 60_000;
const ID_BYTES = 4;

/** What an operator's word on a request has done. */
interface Voted {
  /** False where this operator had said so already. */
  readonly changed: boolean;
  readonly request: RequestRow;
  readonly machine: MachineRow;
  /** Whether the machine is released to that address from now on. */
  readonly opened: boolean;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

type Done = Omit<Voted, "recorded"> & {
  /** Set where the operator has begun the request with this. */
  readonly begun?: Notice;
};

/** An operator's word on a request. */
export interface Vote {
  readonly verb: "approve" | "deny";
  /** The operator's user id. */
  readonly by: number;
}

/** What the policy has to know where a machine that needs an approval asks. */
export async function queueFor(transaction: Reads, machineId: string, from: string): Promise<Queue> {
  const own = await transaction.requestFrom(machineId, from);
  const crowd = await transaction.crowdAround(placeOf(machineId, from));
  if (own === null) return { own, crowd };
  return { own: { ...own, latestMs: latestSince((await transaction.tree()).times, own.madeAt) }, crowd };
}

/**
 * Enters a request in place of one of the same machine and address that has expired.
 * @param asked the latch that was asked for, or the operator who makes it
 * @returns the request, and what the log says of it
 */
export async function beginRequest(
  service: Service,
  transaction: Transaction,
  machineId: string,
  asked: { readonly from: string } & ({ readonly latch: string } | { readonly by: number }),
): Promise<{ readonly request: RequestRow; readonly notice: Notice; readonly entries: readonly Entry[] }> {
  const machine = await transaction.machine(machineId);
  const timeoutMs = machine?.approval?.timeoutMs ?? 0;
  const { from, ...whose } = asked;
  const at = service.system.nowMs();
  const earlier = await transaction.requestFrom(machineId, from);
  if (earlier !== null) await transaction.deleteRequest(earlier.id);
  const request: RequestRow = {
    ...placeOf(machineId, from),
    id: await freeId(service, transaction),
    state: "waiting",
    approvedBy: [],
    createdMs: at,
    expiresMs: at + timeoutMs,
    madeAt: (await transaction.tree()).size,
    by: "by" in whose ? whose.by : null,
  };
  await transaction.setRequest(request);
  const begun: Entry = {
    kind: "request",
    at,
    request: request.id,
    machine: machineId,
    from,
    until: request.expiresMs,
    ...whose,
  };
  const notice = noticeOf("request.new", request, machine?.name ?? "");
  return { request, notice, entries: earlier === null ? [begun] : [expiry(earlier, at), begun] };
}

/**
 * Takes an operator's word on a request. When enough have approved, a window opens for that machine
 * and that address alone, in which each latch is released once. One who denies is enough.
 * @param named the request's id; or, to approve alone, `NAME@ADDRESS`, which begins one where none
 *   waits
 * @throws NightlatchError request/unknown, request/denied, machine/unknown, store/*
 */
export async function vote(service: Service, named: string, { verb, by }: Vote): Promise<Voted> {
  const wish: Wish = { service, named, by };
  const done = await insist(service, { subject: async () => null, stops: false }, (transaction) =>
    verb === "approve" ? approve(transaction, wish) : deny(transaction, wish),
  );
  const { begun, ...voted } = done;
  const { changed, opened, request, machine } = voted;
  if (begun !== undefined) service.notices.tell(begun);
  if (opened) service.notices.tell(noticeOf("request.approved", request, machine.name));
  else if (changed && verb === "deny") service.notices.tell(noticeOf("request.denied", request, machine.name));
  return { ...voted, recorded: await settleChange(service) };
}

/** What operators are told of a request. */
function noticeOf(type: RequestNotice["type"], request: RequestRow, machine: string): Notice {
  const { id, from, approvedBy, expiresMs } = request;
  return { type, request: id, machine, from, approvedBy, expiresMs };
}

interface Wish {
  readonly service: Service;
  readonly named: string;
  readonly by: number;
}

async function approve(transaction: Transaction, { service, named, by }: Wish): Promise<Recorded<Done>> {
  const at = service.system.nowMs();
  const { request, notice, entries } = await findOrBegin(service, transaction, named, by);
  const begun = notice === undefined ? {} : { begun: notice };
  const machine = await findMachine(transaction, request.machineId);
  const of = machine.approval?.of ?? Number.POSITIVE_INFINITY;
  const decision = judgeVote(request, { by, of }, await timeOf(service, transaction, request));
  if (decision === "expired") throw unknownRequest(named);
  if (decision === "denied") throw deniedAlready(machine, request);
  if (decision === "voted-already")
    return { outcome: { changed: false, request, machine, opened: false }, entries: [] };
  const approved: RequestRow = { ...request, approvedBy: [...request.approvedBy, by] };
  const voted: Entry = { kind: "request-approve", at, request: request.id, machine: machine.id, by };
  if (decision === "counts") {
    await transaction.setRequest(approved);
    const outcome = { changed: true, request: approved, machine, opened: false, ...begun };
    return { outcome, entries: [...entries, voted] };
  }
  const lease: LeaseRow = {
    number: machine.leases + 1,
    untilMs: at + OPEN_MS,
    graceMs: GRACE_MS,
    madeAt: (await transaction.tree()).size,
    by,
    to: request.from,
  };
  await transaction.setLease(machine.id, lease);
  await transaction.deleteRequest(request.id);
  const opened = { ...machine, leases: lease.number, lease };
  return {
    outcome: { changed: true, request: approved, machine: opened, opened: true, ...begun },
    entries: [...entries, voted, leaseEntry(machine.id, lease, { at, request: request.id })],
  };
}

async function deny(transaction: Transaction, { service, named, by }: Wish): Promise<Recorded<Done>> {
  const request = await transaction.request(named);
  if (request === null || hasExpired(request.expiresMs, await timeOf(service, transaction, request)))
    throw unknownRequest(named);
  const machine = await findMachine(transaction, request.machineId);
  if (request.state === "denied") return { outcome: { changed: false, request, machine, opened: false }, entries: [] };
  const denied: RequestRow = { ...request, state: "denied" };
  await transaction.setRequest(denied);
  const entry: Entry = {
    kind: "request-deny",
    at: service.system.nowMs(),
    request: request.id,
    machine: machine.id,
    by,
  };
  return { outcome: { changed: true, request: denied, machine, opened: false }, entries: [entry] };
}

/**
 * Removes the requests that have expired; they stay so, whatever the clock says later.
 * @throws NightlatchError store/*
 */
export async function expireRequests(service: Service): Promise<void> {
  const notices = await service.queue.submit(async (transaction) => {
    const nowMs = service.system.nowMs();
    const { times } = await transaction.tree();
    const all = await transaction.requests();
    const expired = all.filter(({ expiresMs, madeAt }) =>
      hasExpired(expiresMs, { nowMs, latestMs: latestSince(times, madeAt) }),
    );
    service.asks.keep(new Set(all.map(({ id }) => id)));
    const told: Notice[] = [];
    for (const request of expired) {
      await transaction.deleteRequest(request.id);
      const machine = await transaction.machine(request.machineId);
      told.push(noticeOf("request.expired", request, machine?.name ?? ""));
    }
    return { outcome: told, entries: expired.map((request) => expiry(request, nowMs)) };
  });
  for (const notice of notices) service.notices.tell(notice);
}

/** The machine and the address that an operator names in the place of a request. */
const NAMED = /^([^@]+)@([0-9A-Fa-f:.]{2,45})$/;

/**
 * Finds the request; or the one of the machine and the address that are named, and begins it where
 * there is none. So a queue that strangers have filled keeps no machine out.
 */
async function findOrBegin(
  service: Service,
  transaction: Transaction,
  named: string,
  by: number,
): Promise<{ readonly request: RequestRow; readonly notice?: Notice; readonly entries: readonly Entry[] }> {
  const [, name, address] = NAMED.exec(named) ?? [];
  const from = parseAddress(address ?? "");
  if (name === undefined || from === null) {
    const found = await transaction.request(named);
    if (found === null) throw unknownRequest(named);
    return { request: found, entries: [] };
  }
  const machine = await findMachine(transaction, name);
  if (machine.policy !== "approval" || machine.state !== "active") throw noneOf(machine);
  const known = await transaction.requestFrom(machine.id, from);
  if (known !== null && !hasExpired(known.expiresMs, await timeOf(service, transaction, known)))
    return { request: known, entries: [] };
  return beginRequest(service, transaction, machine.id, { from, by });
}

async function timeOf(service: Service, transaction: Reads, { madeAt }: RequestRow) {
  return { nowMs: service.system.nowMs(), latestMs: latestSince((await transaction.tree()).times, madeAt) };
}

function placeOf(machineId: string, from: string) {
  const { line, group } = networkOf(from);
  return { machineId, from, network: line, around: group };
}

/** An id that is short enough to be typed, and of no request that there is. */
async function freeId(service: Service, transaction: Reads): Promise<string> {
  for (;;) {
    const id = service.system.random(ID_BYTES).toString("hex");
    if ((await transaction.request(id)) === null) return id;
  }
}

function expiry({ id, machineId }: RequestRow, at: number): Entry {
  return { kind: "request-expired", at, request: id, machine: machineId };
}

function unknownRequest(named: string): NightlatchError {
  return new NightlatchError("request/unknown", `no request ${JSON.stringify(named.slice(0, 80))} waits`, {
    meaning:
      "Nothing was changed. It may have been approved already, have expired, or be void since its machine was locked.",
    remedy: "See which wait: nightlatch request list",
  });
}

function deniedAlready({ name }: MachineRow, { id, expiresMs }: RequestRow): NightlatchError {
  return new NightlatchError("request/denied", `the request ${id} of ${name} was denied`, {
    meaning: `Nothing was changed. That holds until ${new Date(expiresMs).toISOString()}; then the machine asks anew.`,
    remedy: `To have it ask anew at once: nightlatch machine lock ${name}, then nightlatch machine unlock ${name}`,
  });
}

function noneOf({ name, state, policy }: MachineRow): NightlatchError {
  const why = state === "active" ? `its policy is ${policy}` : `it is ${state}`;
  return new NightlatchError("request/unknown", `nobody is asked about the machine ${name}: ${why}`, {
    meaning: "Nothing was changed.",
    remedy: `See: nightlatch machine show ${name}`,
  });
}
