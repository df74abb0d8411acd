/** What the log means of requests for an approval: docs/policy.md, read once more. */
// @ts-nocheck

import type { LedgerMachine, LogEntry } from "./ledger.ts";

interface LedgerRequest {
  readonly id: string;
  readonly machine: LedgerMachine;
  readonly from: string;
  readonly until: number;
  isDenied: boolean;
  readonly approvedBy: Set<number>;
  /** The latest time in the log since. */
  seen: number;
}

const CLOCK_CORRECTION_MS = 60_000;
/** An approved window is open for so long. */
const OPEN_MS = 600_000;
const GRACE_MS = 60_000;

export class LedgerRequests {
  readonly #all = new Map<string, LedgerRequest>();
  readonly #timed: Set<{ seen: number }>;

  /** @param timed has its `seen` kept up to date by the ledger */
  constructor(timed: Set<{ seen: number }>) {
    this.#timed = timed;
  }

  /** Of a machine and an address; null where none is. */
  of(machine: LedgerMachine, from: string): LedgerRequest | null {
    for (const request of this.#all.values()) if (request.machine === machine && request.from === from) return request;
    return null;
  }

  /** How many a machine has. */
  count(machine: LedgerMachine): number {
    return [...this.#all.values()].filter((request) => request.machine === machine).length;
  }

  begin(entry: LogEntry, machine: LedgerMachine): string | null {
    if (machine.state !== "active") return `operators are asked for a machine that is ${machine.state}`;
    if (machine.policy !== "approval") return "operators are asked for a machine that needs no approval";
    const [id, from, until] = [String(entry["request"]), String(entry["from"]), Number(entry["until"])];
    if (this.of(machine, from) !== null) return "operators are asked twice for one machine and address";
    if (until - entry.at !== machine.waitMs) return "a request waits for another time than the policy says";
    const request = { id, machine, from, until, isDenied: false, approvedBy: new Set<number>(), seen: entry.at };
    this.#all.set(id, request);
    this.#timed.add(request);
    return null;
  }

  /** Takes an operator's word, or the end of a request. */
  change(entry: LogEntry): string | null {
    const request = this.#all.get(String(entry["request"]));
    if (request === undefined) return "of no request that waits";
    const isPast = isOver(request.until, entry.at, request.seen);
    if (entry.kind === "request-expired") {
      this.#end(request);
      return isPast ? null : "a request ends before its time";
    }
    if (isPast) return "an operator's word on a request that is over";
    if (entry.kind === "request-deny") {
      request.isDenied = true;
      return null;
    }
    const by = Number(entry["by"]);
    if (request.isDenied) return "a request is approved that was denied";
    if (request.approvedBy.has(by)) return "an operator counts twice";
    request.approvedBy.add(by);
    return null;
  }

  /** A window opens for a request: enough operators must have approved of it. */
  open(entry: LogEntry, machine: LedgerMachine): string | null {
    const request = this.#all.get(String(entry["request"]));
    if (request === undefined || request.machine !== machine) return "a window that nobody was asked for";
    if (request.from !== entry["to"]) return "a window for another address than was asked for";
    if (request.isDenied) return "a window for a request that was denied";
    if (request.approvedBy.size < machine.of) return "a window that too few operators have approved of";
    if (isOver(request.until, entry.at, request.seen)) return "a window for a request that is over";
    if (Number(entry["until"]) - entry.at > OPEN_MS || Number(entry["grace"]) > GRACE_MS)
      return "the window is longer than any may be";
    this.#end(request);
    return null;
  }

  endAll(machine: LedgerMachine): void {
    for (const request of this.#all.values()) if (request.machine === machine) this.#end(request);
  }

  #end(request: LedgerRequest): void {
    this.#all.delete(request.id);
    this.#timed.delete(request);
  }
}

/** Whether a time was reached, by the clock or by the log; or the clock cannot be believed. */
export function isOver(until: number, now: number, seen: number): boolean {
  return now >= until || seen >= until || now < seen - CLOCK_CORRECTION_MS;
}
