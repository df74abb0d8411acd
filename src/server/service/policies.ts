import { NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import { MAX_TIMEOUT_MS, MIN_TIMEOUT_MS } from "../policy/alive.ts";
import type { Policy } from "../policy/lease.ts";
import { type LimitWords, limitsText, parseLimits, type ReleaseLimits, readLimits } from "../policy/limits.ts";
import { loosens } from "../policy/loosening.ts";
import type { Approval } from "../policy/request.ts";
import type { LeaseRow, MachineRow, Transaction } from "../store/port.ts";
import { beginPulse, endPulse } from "./alive.ts";
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

/** What an operator wants to hold for a machine. */
interface WantedPolicy {
  readonly policy: Policy;
  /** What the policy `approval` asks for; no matter of any other. */
  readonly approval?: Approval;
  /** For how long the machine may be silent; under `alive` alone. */
  readonly timeoutMs?: number;
  /** What is to bound its releases; what is left out stays as it is. */
  readonly limits?: LimitWords;
  /** The operator's user id. */
  readonly by: number;
  /** False where the operator may not have more released than before. */
  readonly mayLoosen?: boolean;
  /** Is told of the machine as it is, and throws where the operator may not have this change. */
  readonly permit?: (machine: MachineRow, limits: ReleaseLimits) => void;
}

/** What `approval` asks for where nothing else is said: one operator, within an hour. */
export const PLAIN_APPROVAL: Approval = { of: 1, timeoutMs: 3_600_000 };
const MAX_OPERATORS = 16;
const [MIN_WAIT_MS, MAX_WAIT_MS] = [300_000, 7 * 86_400_000];

const MIN_LEASE_MS = 60_000;
const MAX_LEASE_MS = 86_400_000;

/**
 * Changes what must hold for a machine to be released. A lease that it has is void, and so is what
 * operators were asked for. What is not `always` releases nothing from the moment in which this is
 * asked. A machine that is put under `alive` has to be alive: one whose heartbeats do not come
 * would be locked.
 * @throws NightlatchError machine/unknown, machine/revoked, policy/bad-terms, alive/bad-time,
 *   alive/not-heard, admin/denied, store/*; and what `permit` throws
 */
export async function setPolicy(service: Service, nameOrId: string, wanted: WantedPolicy): Promise<Governed> {
  const { policy, by } = wanted;
  const approval = policy === "approval" ? (wanted.approval ?? PLAIN_APPROVAL) : null;
  const timeoutMs = policy === "alive" ? requireTimeout(wanted.timeoutMs) : null;
  if (approval !== null) requireTerms(approval);
  const subject = subjectOf(nameOrId);
  const done = await insist(
    service,
    { subject, stops: policy !== "always" },
    async (transaction): Promise<Recorded<Done>> => {
      const machine = await findMachine(transaction, nameOrId);
      if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
      const bounds = parseLimits(wanted.limits ?? {}, readLimits(machine.limits));
      if (bounds === null) throw badLimits();
      wanted.permit?.(machine, bounds);
      const limits = limitsText(bounds);
      const before = { policy: machine.policy, timeoutMs: machine.alive?.timeoutMs ?? null };
      const isSame = machine.approval?.of === approval?.of && machine.approval?.timeoutMs === approval?.timeoutMs;
      if (before.policy === policy && before.timeoutMs === timeoutMs && isSame && machine.limits === limits)
        return { outcome: { changed: false, machine }, entries: [] };
      if (wanted.mayLoosen === false && loosens(before, { policy, timeoutMs })) throw mayNotLoosen(machine);
      const { id, name } = machine;
      if (timeoutMs !== null && machine.state === "active") requireHeard(service, machine, timeoutMs);
      await transaction.setPolicy(id, { policy, approval, limits });
      const alive = timeoutMs === null ? null : await beginPulse(service, transaction, id, timeoutMs);
      if (alive === null) endPulse(service, id);
      const terms = approval === null ? {} : { of: approval.of, timeout: approval.timeoutMs };
      const bounded = limits === null ? {} : { limits };
      const silence = timeoutMs === null ? {} : { timeout: timeoutMs };
      const at = service.system.nowMs();
      const entry: Entry = {
        kind: "machine-policy",
        at,
        machine: id,
        name,
        policy,
        ...terms,
        ...silence,
        ...bounded,
        by,
      };
      const changed = { ...machine, policy, approval, limits, alive, lease: null };
      return { outcome: { changed: true, machine: changed }, entries: [entry] };
    },
  );
  return { ...done, recorded: await settleChange(service) };
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

function requireTerms({ of, timeoutMs }: Approval): void {
  if (isWithin(of, 1, MAX_OPERATORS) && isWithin(timeoutMs, MIN_WAIT_MS, MAX_WAIT_MS)) return;
  throw new NightlatchError(
    "policy/bad-terms",
    `an approval takes 1 to ${MAX_OPERATORS} operators, and waits for them for 5 minutes to 7 days`,
    { meaning: "Nothing was changed.", remedy: "Give values in between, such as --of 2 --timeout 1h." },
  );
}

function badLimits(): NightlatchError {
  return new NightlatchError("policy/bad-terms", "--from, --per-day or --hours is not what it should be", {
    meaning: "Nothing was changed.",
    remedy:
      "Give up to 16 networks (--from 192.0.2.0/24,2001:db8::/48), 1 to 100 releases of a latch (--per-day 4), the server's own time " +
      "(--hours 08:00-18:00), or any to have no such limit.",
  });
}

function requireTimes({ lifetimeMs, graceMs }: { readonly lifetimeMs: number; readonly graceMs: number }): void {
  if (isWithin(lifetimeMs, MIN_LEASE_MS, MAX_LEASE_MS) && isWithin(graceMs, 0, MAX_GRACE_MS)) return;
  throw new NightlatchError(
    "lease/bad-time",
    "a lease lasts for at least a minute and at most a day, its grace for at most 10 minutes",
    { meaning: "Nothing was changed.", remedy: "Give times in between, such as 15m with --grace 60s." },
  );
}

function requireTimeout(timeoutMs: number | undefined): number {
  if (Number.isSafeInteger(timeoutMs) && Number(timeoutMs) >= MIN_TIMEOUT_MS && Number(timeoutMs) <= MAX_TIMEOUT_MS)
    return Number(timeoutMs);
  throw new NightlatchError("alive/bad-time", "a machine may be silent for at least 5 seconds and at most a day", {
    meaning: "Nothing was changed.",
    remedy: "Give a time in between, such as --timeout 5m.",
  });
}

/**
 * Who is put under `alive` and sends nothing would be locked within minutes, and noticed at its
 * next boot.
 */
function requireHeard({ pulses, system }: Service, { id, name }: MachineRow, timeoutMs: number): void {
  const number = pulses.find(id);
  if (number !== null && system.monotonicMs() - pulses.heardMs(number) < timeoutMs) return;
  throw new NightlatchError("alive/not-heard", `nothing was heard of the machine ${name} within that time`, {
    meaning: "Nothing was changed. It would be locked soon, and its passphrase alone would open it at its next boot.",
    remedy: `On ${name}: systemctl enable --now nightlatch-heartbeat. Then, when nightlatch machine show ${name} says that it was heard, repeat this.`,
  });
}

function mayNotLoosen({ name }: MachineRow): NightlatchError {
  return new NightlatchError("admin/denied", `having ${name} released in more cases than now is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: `Ask root of the key server, or open a window where its policy is lease: nightlatch machine lease ${name} 15m`,
  });
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

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}
