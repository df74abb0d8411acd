/**
 * What the server's log means, told by rules of a few lines that know nothing of the server's own
 * code: docs/policy.md, read once more. Whoever changes a rule there changes it here by hand.
 */

import { isOver, LedgerRequests } from "./ledger-requests.ts";
import { LedgerSites } from "./ledger-sites.ts";

/** An entry as it lies on the disk. */
export type LogEntry = Readonly<Record<string, string | number>> & { readonly kind: string; readonly at: number };

interface LedgerLease {
  readonly number: number;
  readonly until: number;
  readonly grace: number;
  /** The one address that it is open for; null: any. */
  readonly to: string | null;
  /** The latest time in the log since. */
  seen: number;
}

export interface LedgerMachine {
  readonly id: string;
  state: "active" | "locked" | "revoked";
  /** It is locked since it was silent for too long, and not by a person. */
  isGone: boolean;
  policy: string;
  /** Under `approval`, how many operators it takes, and how long a request waits for them. */
  of: number;
  waitMs: number;
  /** Under `alive`, for how long it may be silent. */
  timeoutMs: number;
  /** How often each of its latches is released in 24 hours; null: however often. */
  perDay: number | null;
  lease: LedgerLease | null;
  /** The group that it is in, which is its site; and the last window that let it in. */
  group: string | null;
  letIn: number | null;
  /** Counts what happened to it that may change an answer. */
  version: number;
}

export interface LedgerLatch {
  readonly machine: LedgerMachine;
  state: "active" | "locked" | "revoked";
  use: {
    readonly lease: number;
    readonly at: number;
    readonly from: string;
    /** The entry that tells of it. */
    readonly number: number;
  } | null;
  /** Its releases that were counted last. */
  day: LedgerDay | null;
}

interface LedgerDay {
  readonly since: number;
  readonly count: number;
}

const DAY_MS = 86_400_000;

export class Ledger {
  readonly machines = new Map<string, LedgerMachine>();
  readonly latches = new Map<string, LedgerLatch>();
  readonly #open = new Set<{ seen: number }>();
  readonly requests = new LedgerRequests(this.#open);
  readonly sites = new LedgerSites();
  size = 0;

  /** Takes the next entry. Gives what is wrong with it; null where nothing is. */
  take(entry: LogEntry): string | null {
    this.size++;
    for (const timed of this.#open) timed.seen = Math.max(timed.seen, entry.at);
    const machine = this.machines.get(String(entry["machine"]));
    const latch = this.latches.get(String(entry["latch"]));
    if (machine !== undefined && entry.kind !== "release") machine.version++;
    switch (entry.kind) {
      case "enrol":
      case "latch":
        return this.#bind(entry, machine);
      case "machine-gone":
        return machine === undefined ? "of no machine" : this.#goes(machine);
      case "machine-lock":
      case "machine-unlock":
      case "machine-revoke":
        return machine === undefined ? "of no machine" : this.#change(machine, entry.kind.slice(8));
      case "latch-lock":
      case "latch-unlock":
      case "latch-revoke":
        if (latch === undefined) return "of no latch";
        if (latch.state === "revoked") return "a revoked latch is changed";
        latch.state = STATES[entry.kind.slice(6)] ?? "revoked";
        return null;
      case "machine-policy":
        if (machine === undefined) return "of no machine";
        return this.#govern(entry, machine);
      case "lease":
        return machine === undefined ? "of no machine" : this.#lease(entry, machine);
      case "lease-end":
        return machine === undefined ? "of no machine" : this.#endLease(entry, machine);
      case "request":
        if (machine === undefined) return "of no machine";
        if (entry["by"] === undefined && this.sites.of(machine)?.state === "held")
          return "operators are asked while the site is held";
        return this.requests.begin(entry, machine);
      case "request-approve":
      case "request-deny":
      case "request-expired":
        return this.requests.change(entry);
      case "group-add":
      case "group-join":
      case "group-leave":
      case "site-hold":
      case "site-release":
      case "site-end":
        return this.sites.take(entry, machine);
      case "release":
        return latch === undefined ? "of no latch" : this.#release(entry, latch);
      case "flood":
        return latch === undefined ? "of no latch" : this.refusal(latch, entry.at, String(entry["from"]));
      default:
        return null;
    }
  }

  /** Why a latch must not be released at this time to this address; null where it may. */
  refusal(latch: LedgerLatch, now: number, from: string): string | null {
    const { machine, use } = latch;
    if (latch.state !== "active") return `the latch is ${latch.state}`;
    if (machine.state !== "active") return `the machine is ${machine.state}`;
    if (this.sites.of(machine)?.state === "held") return "its site is held";
    // Whether a machine under `alive` is there is not in the log: vigil.ts.
    if (machine.policy === "always" || machine.policy === "alive") return dayRefusal(latch, now);
    const { lease } = machine;
    if (lease === null) return "there is no lease";
    if (isOver(lease.until, now, lease.seen)) return "the lease is over";
    if (lease.to !== null && lease.to !== from) return "it was approved for another address";
    if (machine.policy === "approval" && lease.to === null) return "nobody has approved";
    if (use === null || use.lease !== lease.number) return dayRefusal(latch, now);
    if (isOver(use.at + lease.grace, now, lease.seen)) return "the grace is over";
    return use.from === from ? null : "the grace is another address's";
  }

  /** How much is left, at this time, of a window that is for no address in particular. In ms. */
  windowLeft({ lease }: LedgerMachine, now: number): number {
    if (lease === null || lease.to !== null || isOver(lease.until, now, lease.seen)) return 0;
    return lease.until - now;
  }

  #bind(entry: LogEntry, known: LedgerMachine | undefined): string | null {
    const machine = known ?? made(String(entry["machine"]));
    if (machine.state !== "active") return `a machine that is ${machine.state} gets a latch`;
    this.machines.set(String(entry["machine"]), machine);
    if (entry["group"] !== undefined) {
      if (known !== undefined || !this.sites.all.has(String(entry["group"]))) return "a machine is put into a group";
      machine.group = String(entry["group"]);
    }
    this.latches.set(String(entry["latch"]), { machine, state: "active", use: null, day: null });
    return null;
  }

  #change(machine: LedgerMachine, change: string): string | null {
    if (machine.state === "revoked") return "a revoked machine is changed";
    machine.state = STATES[change] ?? "revoked";
    machine.isGone = false;
    if (machine.state !== "active") this.#endAll(machine);
    if (machine.state === "revoked")
      for (const latch of this.latches.values()) if (latch.machine === machine) latch.state = "revoked";
    return null;
  }

  /** The server itself has locked it. */
  #goes(machine: LedgerMachine): string | null {
    if (machine.state !== "active") return `a machine that is ${machine.state} is locked for its silence`;
    if (machine.policy !== "alive") return "a machine is locked for its silence that may be silent";
    machine.state = "locked";
    machine.isGone = true;
    this.#endAll(machine);
    return null;
  }

  #govern(entry: LogEntry, machine: LedgerMachine): null {
    machine.policy = String(entry["policy"]);
    machine.of = Number(entry["of"] ?? 0);
    machine.waitMs = machine.policy === "approval" ? Number(entry["timeout"]) : 0;
    machine.timeoutMs = machine.policy === "alive" ? Number(entry["timeout"]) : 0;
    const [, perDay] = /per-day (\d+)/.exec(String(entry["limits"])) ?? [];
    machine.perDay = perDay === undefined ? null : Number(perDay);
    this.#endAll(machine);
    return null;
  }

  #endAll(machine: LedgerMachine): void {
    machine.lease = null;
    this.requests.endAll(machine);
  }

  #lease(entry: LogEntry, machine: LedgerMachine): string | null {
    const { at, until, grace, lease } = entry as { [name: string]: number } & LogEntry;
    if (machine.state !== "active") return `a machine that is ${machine.state} gets a lease`;
    if (machine.policy === "always") return "a machine gets a lease that needs none";
    const approved = machine.policy === "approval" ? this.requests.open(entry, machine) : null;
    if (approved !== null) return approved;
    const most = entry["by"] === undefined ? 1_800_000 : DAY_MS;
    if (Number(until) - at > most || Number(grace) > 600_000) return "the lease is longer than any may be";
    const to = entry["to"] === undefined ? null : String(entry["to"]);
    const made = { number: Number(lease), until: Number(until), grace: Number(grace), to, seen: at };
    if (machine.lease !== null) this.#open.delete(machine.lease);
    machine.lease = made;
    this.#open.add(made);
    return null;
  }

  /** The machine may take its window back. By itself a window ends at its time. */
  #endLease(entry: LogEntry, machine: LedgerMachine): string | null {
    const { lease } = machine;
    machine.lease = null;
    if (lease === null) return "a window ends that is none";
    if (entry["why"] === "booted")
      return this.#hasOpenedAll(machine, lease.number) ? null : "a boot ends a window that a latch waits for";
    return entry["from"] === undefined && entry.at < lease.until ? "a window is ended before its time" : null;
  }

  /** Whether each latch of a machine that can be was released in this lease. */
  #hasOpenedAll(machine: LedgerMachine, lease: number): boolean {
    for (const latch of this.latches.values())
      if (latch.machine === machine && latch.state === "active" && latch.use?.lease !== lease) return false;
    return true;
  }

  /**
   * The lease of a machine in which it has booted for all that can be seen, and whose next
   * heartbeat ends it: each latch was released in it, one of them before this entry. Null where
   * there is none.
   */
  bootedIn(machine: LedgerMachine | undefined, before: number): number | null {
    const lease = machine?.lease?.number;
    if (machine === undefined || lease === undefined || !this.#hasOpenedAll(machine, lease)) return null;
    return this.hasOpened(machine, lease, before) ? lease : null;
  }

  /** Whether a latch of a machine was released in this lease, before this entry. */
  hasOpened(machine: LedgerMachine, lease: number, before: number): boolean {
    for (const { machine: of, use } of this.latches.values())
      if (of === machine && use?.lease === lease && use.number < before) return true;
    return false;
  }

  #release(entry: LogEntry, latch: LedgerLatch): string | null {
    const from = String(entry["from"]);
    const refused = this.refusal(latch, entry.at, from);
    const { lease } = latch.machine;
    const entered = entry["window"] === undefined ? null : this.sites.enter(latch.machine, Number(entry["window"]));
    if (entered !== null) return entered;
    if (entry["lease"] !== undefined) {
      if (lease === null || entry["lease"] !== lease.number) return "it was opened by a lease that is none";
      latch.use = { lease: lease.number, at: entry.at, from, number: this.size - 1 };
      latch.machine.version++;
    }
    return refused ?? this.#count(entry, latch);
  }

  #count(entry: LogEntry, latch: LedgerLatch): string | null {
    const { policy, perDay } = latch.machine;
    const isFirst = policy === "always" || policy === "alive" || entry["lease"] !== undefined;
    if (perDay === null || !isFirst) return entry["day"] === undefined ? null : "it is counted, and need not be";
    latch.day = dayAfter(latch.day, entry.at);
    latch.machine.version++;
    const isRight = entry["day"] === latch.day.count && entry["since"] === latch.day.since;
    return isRight ? null : `it is number ${latch.day.count} of the day since ${latch.day.since}`;
  }
}

/** A day begins with its first release, and with a clock that was set back by more than one. */
function dayAfter(day: LedgerDay | null, now: number): LedgerDay {
  if (day === null || now - day.since >= DAY_MS || day.since - now > DAY_MS) return { since: now, count: 1 };
  return { since: Math.min(day.since, now), count: day.count + 1 };
}

/** Why one more release in its day is one too many; null where it is not. */
function dayRefusal({ day, machine: { perDay } }: LedgerLatch, now: number): string | null {
  return perDay !== null && dayAfter(day, now).count > perDay ? "it was released as often as it may be in a day" : null;
}

const STATES: Readonly<Record<string, "active" | "locked" | "revoked">> = {
  lock: "locked",
  unlock: "active",
  revoke: "revoked",
};

function made(id: string): LedgerMachine {
  const terms = { policy: "always", of: 0, waitMs: 0, timeoutMs: 0, perDay: null };
  return { id, state: "active", isGone: false, ...terms, lease: null, group: null, letIn: null, version: 0 };
}
