import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import {
  buildEnrolAnswer,
  type EnrolRequest,
  type LatchRequest,
  provesInvite,
} from "../../../formats/own/enrolment.ts";
import type { Entry } from "../../audit/entry.ts";
import { latestSince } from "../../audit/times.ts";
import { hasExpired } from "../../policy/expiry.ts";
import type { Transaction } from "../../store/port.ts";
import type { InviteRow, LatchRow, MachineRow } from "../../store/rows.ts";
import { beginPulse } from "../alive/alive.ts";
import { findGroup } from "../policies/groups.ts";
import { saidOf } from "../policies/policies.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { makeLatch } from "./latch.ts";

/** A machine's request, verified as far as its own signature goes, and its bytes. */
interface Received<T> {
  readonly request: T;
  readonly body: Uint8Array;
  readonly from: string;
}

/** Why a machine is given no latch. */
export type EnrolRefusal =
  | "invite/unknown"
  | "invite/used"
  | "invite/expired"
  | "invite/other-machine"
  | "machine/unknown"
  | "machine/locked"
  | "machine/revoked"
  | "machine/full"
  | "latch/revoked";

/** What is answered: a signed message, or a refusal. */
export type EnrolOutcome = { readonly answer: Buffer } | { readonly refused: EnrolRefusal };

type Bound = { readonly machine: MachineRow; readonly latch: LatchRow } | { readonly refused: EnrolRefusal };

/**
 * How many latches a machine may have. One that holds its identity could otherwise fill the disk
 * with them, and nobody has as many volumes.
 */
const MAX_LATCHES = 64;

/**
 * Gives a machine that comes with an invite its latch: `POST /enroll` of docs/format/enrolment.md.
 * @throws NightlatchError store/*
 */
export async function enrol(service: Service, received: Received<EnrolRequest>): Promise<EnrolOutcome> {
  const bound = await service.queue.submit(async (transaction) => {
    const invite = await transaction.invite(received.request.invite);
    if (invite === null) return refuse(service, received, "invite/unknown");
    // Its key is destroyed. Whoever used it proves by its identity that it is the one.
    if (invite.state === "used") return repeat(service, transaction, received, invite);
    if (invite.state === "void" || isKeyDestroyed(service, invite))
      return refuse(service, received, "invite/expired", invite.id);
    if (!isProven(service, received.request, invite)) return refuse(service, received, "invite/unknown");
    return redeem(service, transaction, received, invite);
  });
  return seal(service, received.body, bound);
}

/**
 * Gives a machine that is known one more latch: `POST /machine/{machine}/latch` of
 * docs/format/enrolment.md.
 * @throws NightlatchError store/*
 */
export async function addLatch(service: Service, received: Received<LatchRequest>): Promise<EnrolOutcome> {
  const bound = await service.queue.submit(async (transaction) => {
    const machine = await transaction.machine(received.request.machine);
    if (machine === null) return refuse(service, received, "machine/unknown");
    return grant(service, transaction, received, machine, null);
  });
  return seal(service, received.body, bound);
}

/**
 * True where the invite has expired; or where an older copy of the store was put back, which does
 * not know of the invite's end.
 */
function isKeyDestroyed({ cells }: Service, { wrappedKey, cell }: InviteRow): boolean {
  return wrappedKey.length === 0 || cells.isEmpty(cell ?? 0);
}

function isProven({ cells }: Service, request: EnrolRequest, invite: InviteRow): boolean {
  using key = cells.unwrap(invite.cell ?? 0, invite.wrappedKey, { purpose: "invite", id: invite.id, epoch: 1 });
  return provesInvite(request, key.reveal());
}

/**
 * The invite was used and is that machine's for good. The answer to its first request may have been
 * lost: the same nonce gets the same latch again. Another nonce gets what the machine's identity
 * alone would get: one more latch.
 */
async function repeat(
  service: Service,
  transaction: Transaction,
  received: Received<EnrolRequest>,
  invite: InviteRow,
): Promise<Recorded<Bound>> {
  const machineId = received.request.machine;
  if (invite.machineId !== machineId) return refuse(service, received, "invite/used", invite.id);
  return grant(service, transaction, received, await knownMachine(transaction, machineId), null);
}

async function redeem(
  service: Service,
  transaction: Transaction,
  received: Received<EnrolRequest>,
  invite: InviteRow,
): Promise<Recorded<Bound>> {
  const nowMs = service.system.nowMs();
  const latestMs = latestSince((await transaction.tree()).times, invite.madeAt);
  if (hasExpired(invite.expiresMs, { nowMs, latestMs })) return refuse(service, received, "invite/expired", invite.id);
  const machineId = received.request.machine;
  const known = await transaction.machine(machineId);
  // A copy of a machine has its identity too. As one machine they would be revoked together, and
  // nobody would find the other's name.
  if (known !== null && known.state !== "revoked" && known.name !== invite.name)
    return refuse(service, received, "invite/other-machine", invite.id, known.id);
  const machine = known ?? (await insertNew(service, transaction, machineId, invite));
  // Who is known is where operators have put it.
  const used = known === null ? invite : { ...invite, group: null };
  const granted = await grant(service, transaction, received, machine, used);
  if (!("refused" in granted.outcome)) await transaction.setInvite(invite.id, "used", machineId);
  return granted;
}

/**
 * Enters a machine with what is said of its group, or of new ones; under `alive` it has the time of
 * a boot.
 */
async function insertNew(
  service: Service,
  transaction: Transaction,
  id: string,
  { name, group }: Pick<InviteRow, "name" | "group">,
): Promise<MachineRow> {
  const joined = group === null ? null : await findGroup(transaction, group);
  const { terms, source } = await saidOf(transaction, null, joined);
  const { timeoutMs, ...said } = terms;
  const machine: MachineRow = {
    id,
    name,
    state: "active",
    epoch: 1,
    enrolledMs: service.system.nowMs(),
    ...said,
    source,
    leases: 0,
    lease: null,
    alive: null,
    seenMs: null,
    seenFrom: null,
    group,
    goneIn: null,
    goneFrom: null,
  };
  await transaction.insertMachine(machine);
  if (timeoutMs === null) return machine;
  return { ...machine, alive: await beginPulse(service, transaction, id, timeoutMs) };
}

/** Gives the latch that this nonce got before, or a new one. */
async function grant(
  service: Service,
  transaction: Transaction,
  received: Received<LatchRequest>,
  machine: MachineRow,
  invite: InviteRow | null,
): Promise<Recorded<Bound>> {
  if (machine.state !== "active") return refuse(service, received, `machine/${machine.state}`, machine.id);
  const { nonce, volume } = received.request;
  const earlier = await transaction.latchByNonce(machine.id, nonce);
  // Revoked before the machine had bound it: a binding to it would never open.
  if (earlier?.state === "revoked") return refuse(service, received, "latch/revoked", earlier.id);
  if (earlier !== null)
    return { outcome: { machine, latch: earlier }, entries: usedBy(service, received, machine, invite) };
  const latches = await transaction.latchesOf(machine.id);
  if (latches.filter(({ state }) => state !== "revoked").length >= MAX_LATCHES) {
    return refuse(service, received, "machine/full", machine.id);
  }
  const { latch, keys } = makeLatch(service, { machineId: machine.id, nonce, volume });
  await transaction.insertLatch(latch, keys);
  const entry: Entry = {
    kind: invite === null ? "latch" : "enrol",
    at: latch.createdMs,
    machine: machine.id,
    name: machine.name,
    latch: latch.id,
    volume,
    kid: keys[0].kid,
    from: received.from,
    ...(invite === null ? {} : { invite: invite.id }),
    ...(invite?.group == null ? {} : { group: invite.group }),
  };
  return { outcome: { machine, latch }, entries: [entry] };
}

/**
 * What the log says where an invite is used for a latch that is there already: that the invite is
 * used.
 */
function usedBy(service: Service, { from }: Received<unknown>, machine: MachineRow, invite: InviteRow | null): Entry[] {
  if (invite === null) return [];
  return [{ kind: "invite-used", at: service.system.nowMs(), invite: invite.id, machine: machine.id, from }];
}

function refuse(
  service: Service,
  received: Received<unknown>,
  reason: EnrolRefusal,
  subject?: string,
  machine?: string,
): Recorded<Bound> {
  const refusal = subject === undefined ? { reason } : { reason, subject };
  const entry = service.refusals.count(refusal, received.from, service.system.nowMs(), machine);
  return { outcome: { refused: reason }, entries: entry === null ? [] : [entry] };
}

function seal(service: Service, body: Uint8Array, bound: Bound): EnrolOutcome {
  if ("refused" in bound) return bound;
  const { machine, latch } = bound;
  const advertisement = JSON.parse(latch.advertisement) as JsonObject;
  const answer = { machine: machine.id, name: machine.name, latch: latch.id, advertisement };
  return { answer: buildEnrolAnswer(service.identity, body, answer) };
}

async function knownMachine(transaction: Transaction, machineId: string): Promise<MachineRow> {
  const machine = await transaction.machine(machineId);
  if (machine === null) throw new NightlatchError("store/damaged", `a latch belongs to no machine (${machineId})`);
  return machine;
}
