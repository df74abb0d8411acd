/**
 * Sees what passes the server's doors and what lies on its disk, and finds what must never be. It
 * asks nothing of the server: the log is read from the file, by another connection.
 */
import { createHash } from "node:crypto";
import Database from "better-sqlite3";
import { Ledger, type LedgerLatch, type LogEntry } from "./ledger.ts";
import type { Answer, Request } from "./network.ts";
import type { SimulatedTime } from "./time.ts";

/** What must always hold. Each is a word of docs/decisions/123. */
export type Invariant =
  /** No release that the policy forbids; none outside of a lease and its grace. */
  | "policy"
  /** No release after an acknowledged lock or revocation, also after a restart. */
  | "acknowledged"
  /** No release without a receipt that is on the disk before the answer, and stays. */
  | "receipt"
  /** No window but one that somebody opened who may, just now, once for each request. */
  | "lease"
  /** Whoever may have its key gets it, once it can ask and the server can answer. */
  | "liveness"
  /** The whole log verifies in the end, and the tables say what it says. */
  | "log"
  /** Nothing fails but the disk. */
  | "defect";

export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

interface Signed {
  readonly machine: string;
  readonly atMs: number;
  isTaken: boolean;
}

/** A request that a latch be released, from its arrival on. */
interface Asked {
  readonly latchId: string;
  readonly from: string;
  readonly size: number;
  readonly wallMs: number;
  readonly jumps: number;
  readonly refusal: string | null;
  readonly version: number;
  readonly changes: number;
}

export class Oracle {
  readonly #time: SimulatedTime;
  #database: Database.Database | null = null;
  #read: Database.Statement | null = null;
  #ledger = new Ledger();
  /** Of the entries so far, in their order. */
  #digests: Buffer[] = [];
  /** So many entries are behind an answer, and must be there for ever. */
  #reliedOn = 0;
  /** Receipts of releases that no answer has used, by latch. */
  #receipts = new Map<string, { readonly number: number; readonly from: string }[]>();
  #floods = new Map<string, { readonly from: string | null; readonly at: number; readonly until: number }[]>();
  /** Machines and latches that were locked or revoked, as an operator was told. */
  readonly #stopped = new Map<string, "locked" | "revoked">();
  /** How many changes of operators are under way, by machine. */
  readonly #changing = new Map<string, number>();
  readonly #signed = new Map<string, Signed>();
  /** Counts what the server's clock was set. */
  jumps = 0;
  /** How many leases each machine has had. */
  #leases = new Map<string, number>();
  #changesBegun = 0;
  releases = 0;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** The server has started on this store. Its log must hold all that was relied on. */
  opened(storePath: string): void {
    this.closed();
    this.#database = new Database(storePath, { readonly: true });
    this.#read = this.#database.prepare("select number, body from entry where number >= ? order by number").raw();
    const before = this.#digests;
    this.#ledger = new Ledger();
    this.#digests = [];
    this.#receipts = new Map();
    this.#floods = new Map();
    this.#leases = new Map();
    this.#readUp();
    for (let number = 0; number < this.#reliedOn; number++) {
      const [was, is] = [before[number], this.#digests[number]];
      if (was === undefined || is === undefined || !was.equals(is))
        throw new Violation("receipt", `entry ${number}, which was relied on, is gone after a crash`);
    }
    this.#receipts = new Map(); // what was answered before the crash was
  }

  closed(): void {
    this.#database?.close();
    this.#database = null;
    this.#read = null;
  }

  #readUp(): void {
    if (this.#read === null) return;
    for (const [number, body] of this.#read.all(this.#ledger.size) as [number, Buffer][]) {
      const entry = JSON.parse(String(body)) as LogEntry;
      this.#digests.push(createHash("sha256").update(body).digest());
      const wrong = this.#ledger.take(entry);
      if (wrong !== null) throw new Violation("policy", `entry ${number}: ${wrong}: ${String(body)}`);
      this.#note(number, entry);
    }
  }

  #note(number: number, entry: LogEntry): void {
    const latch = String(entry["latch"]);
    if (entry.kind === "release") push(this.#receipts, latch, { number, from: String(entry["from"]) });
    else if (entry.kind === "flood") {
      const from = entry["from"] === undefined ? null : String(entry["from"]);
      push(this.#floods, latch, { from, at: entry.at, until: Number(entry["until"]) });
    } else if (entry.kind === "lease") {
      const machine = String(entry["machine"]);
      this.#leases.set(machine, (this.#leases.get(machine) ?? 0) + 1);
    }
  }

  /** A machine, or who has its identity, has signed this now. */
  signed(machine: string, body: Buffer): void {
    this.#signed.set(digestOf(body), { machine, atMs: this.#time.trueMs, isTaken: false });
  }

  /** A request has arrived. @returns what judges its answer, when it has left */
  arrived(from: string, { path, body }: Request): (answer: Answer) => void {
    const latchId = /^\/latch\/([^/]+)\/rec\//.exec(path)?.[1];
    if (latchId !== undefined) {
      this.#readUp();
      const asked = this.#asked(latchId, from);
      return (answer) => this.#answered(asked, answer);
    }
    const machine = /^\/machine\/([^/]+)\/lease$/.exec(path)?.[1];
    if (machine !== undefined && body.length > 0) {
      this.#readUp();
      const leases = this.#leases.get(machine) ?? 0;
      return (answer) => this.#leased(machine, body, answer, leases);
    }
    return () => {};
  }

  #asked(latchId: string, from: string): Asked {
    const latch = this.#ledger.latches.get(latchId);
    const { wallMs } = this.#time;
    return {
      latchId,
      from,
      wallMs,
      size: this.#ledger.size,
      jumps: this.jumps,
      refusal: latch === undefined ? "there is no such latch" : this.#ledger.refusal(latch, wallMs, from),
      version: latch?.machine.version ?? 0,
      changes: this.#changesBegun,
    };
  }

  #answered(asked: Asked, { status }: Answer): void {
    this.#readUp();
    const latch = this.#ledger.latches.get(asked.latchId);
    if (status === 200) this.#released(asked, latch);
    else if (status === 403 || status === 410) this.#refused(asked, latch, status);
    else if (status !== 503 && status !== 404) throw new Violation("defect", `a release was answered ${status}`);
  }

  #released(asked: Asked, latch: LedgerLatch | undefined): void {
    this.releases++;
    this.#reliedOn = this.#ledger.size;
    if (latch === undefined) throw new Violation("policy", "a latch was released that the log does not know");
    for (const subject of [asked.latchId, machineIdOf(this.#ledger, latch)]) {
      const stopped = this.#stopped.get(subject);
      if (stopped !== undefined) throw new Violation("acknowledged", `released after it was told to be ${stopped}`);
    }
    if (this.#useReceipt(asked)) return;
    if (!this.#isFlooded(asked)) throw new Violation("receipt", "released, and no receipt is on the disk");
    const now = this.#ledger.refusal(latch, this.#time.wallMs, asked.from);
    if (asked.refusal !== null && now !== null) throw new Violation("policy", `released under a flood: ${now}`);
  }

  #useReceipt({ latchId, from, size }: Asked): boolean {
    const receipts = this.#receipts.get(latchId) ?? [];
    const at = receipts.findIndex((receipt) => receipt.number >= size && receipt.from === from);
    if (at < 0) return false;
    receipts.splice(0, at + 1);
    return true;
  }

  #isFlooded({ latchId, from, wallMs }: Asked): boolean {
    const now = this.#time.wallMs;
    return (this.#floods.get(latchId) ?? []).some(
      (flood) => (flood.from === null || flood.from === from) && flood.at <= now && wallMs < flood.until,
    );
  }

  /** A refusal must have its reason, unless something changed meanwhile. */
  #refused(asked: Asked, latch: LedgerLatch | undefined, status: number): void {
    if (latch === undefined || asked.refusal !== null || asked.jumps !== this.jumps) return;
    if (asked.changes !== this.#changesBegun || this.#isChanging(latch)) return;
    if (asked.version !== latch.machine.version) return;
    if (this.#ledger.refusal(latch, this.#time.wallMs, asked.from) !== null) return;
    throw new Violation("liveness", `refused with ${status} what may be released`);
  }

  #isChanging(latch: LedgerLatch): boolean {
    return (this.#changing.get(machineIdOf(this.#ledger, latch)) ?? 0) > 0;
  }

  #leased(machine: string, body: Buffer, { status }: Answer, leasesBefore: number): void {
    if (status !== 200) return;
    this.#readUp();
    this.#reliedOn = this.#ledger.size;
    if ((this.#leases.get(machine) ?? 0) === leasesBefore) return;
    const signed = this.#signed.get(digestOf(body));
    if (signed === undefined) throw new Violation("lease", "a window was opened that nobody has signed for");
    if (signed.isTaken) throw new Violation("lease", "one request has opened two windows");
    if (this.#time.trueMs - signed.atMs > 120_000)
      throw new Violation("lease", "a window was opened by a request of long ago");
    signed.isTaken = true;
  }

  /** An operator's change is under way. @returns what is told of its end */
  changing(machine: string, subject: string, change: string): (isAcknowledged: boolean) => void {
    this.#changesBegun++;
    this.#changing.set(machine, (this.#changing.get(machine) ?? 0) + 1);
    if (change === "unlock" && this.#stopped.get(subject) === "locked") this.#stopped.delete(subject);
    return (isAcknowledged) => {
      this.#changing.set(machine, (this.#changing.get(machine) ?? 1) - 1);
      if (!isAcknowledged) return;
      this.#readUp();
      this.#reliedOn = this.#ledger.size;
      if (change === "lock" && this.#stopped.get(subject) !== "revoked") this.#stopped.set(subject, "locked");
      else if (change === "revoke") this.#stopped.set(subject, "revoked");
      else return;
      if ((this.#changing.get(machine) ?? 0) > 0) return;
      const { state } = this.#ledger.latches.get(subject) ?? this.#ledger.machines.get(subject) ?? { state: "active" };
      if (state === "active") throw new Violation("acknowledged", `${change} was told, and is not in the log`);
    };
  }
}

const ids = new WeakMap<object, string>();

function machineIdOf(ledger: Ledger, { machine }: LedgerLatch): string {
  const known = ids.get(machine);
  if (known !== undefined) return known;
  for (const [id, one] of ledger.machines) ids.set(one, id);
  return ids.get(machine) ?? "";
}

function digestOf(body: Buffer): string {
  return createHash("sha256").update(body).digest("base64");
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
