/**
 * Sees what passes the server's doors and what lies on its disk, and finds what must never be. It
 * asks nothing of the server: the log is read from the file, by another connection.
 */
import { createHash } from "node:crypto";
import Database from "better-sqlite3";
import { HeartbeatDoor } from "./heartbeat-door.ts";
import { Ledger, type LedgerLatch, type LedgerMachine, type LogEntry } from "./ledger.ts";
import type { Answer, Request } from "./network.ts";
import { isHeartbeat } from "./sender.ts";
import { SiteWatch } from "./site-watch.ts";
import type { SimulatedTime } from "./time.ts";
import { Vigils, type Written } from "./vigil.ts";
import { type Invariant, Violation } from "./violation.ts";
import { WitnessWatch } from "./witness-watch.ts";

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
  /** Why it must be refused; null where it may be released. */
  readonly refusal: string | null;
  /** Whether it surely is released. */
  readonly isOpen: boolean;
  /** The server, or its disk, may be late. */
  readonly isExcused: boolean;
  readonly version: number;
  readonly changes: number;
}

/** From so many addresses operators are asked for one machine. */
const MOST_REQUESTS = 16;
/** So long after a change everybody has heard of it. */
const SETTLED_MS = 1_000;

export class Oracle {
  readonly #time: SimulatedTime;
  readonly #isExcused: () => boolean;
  readonly vigils = new Vigils();
  readonly door: HeartbeatDoor;
  readonly sites: SiteWatch;
  readonly witness = new WitnessWatch();
  /** Counts the server's processes. */
  #life = 0;
  /** When the log was read last, and how often the clock had been set then. */
  #readMs = 0;
  #readJumps = 0;
  #endedMs: number | null = null;
  /** When an entry that is about a machine was read last. */
  readonly #changedMs = new Map<string, number>();
  /** What operators have said to requests. */
  readonly #said = new Set<string>();
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

  /** @param isExcused whether the server, or its disk, may be late now */
  constructor(time: SimulatedTime, isExcused: () => boolean) {
    this.#time = time;
    this.#isExcused = isExcused;
    const oracle = this;
    const around = {
      get ledger() {
        return oracle.#ledger;
      },
      get nowMs() {
        return time.trueMs;
      },
      get life() {
        return oracle.#life;
      },
      get isExcused() {
        return oracle.#isExcused();
      },
      get wallMs() {
        return time.wallMs;
      },
      get jumps() {
        return oracle.jumps;
      },
      isSettled: (machine: string) => oracle.#isSettled(machine),
      homes: (machine: string) => oracle.door.homes(machine),
      isPlaceKnown: (machine: string) => oracle.door.isPlaceKnown(machine),
      changedMs: (machine: string) => oracle.#changedMs.get(machine) ?? Number.NEGATIVE_INFINITY,
      heard: (machine: string, from: string, arrivedMs: number) =>
        oracle.sites.heard(oracle.#ledger.machines.get(machine), from, arrivedMs),
    };
    this.sites = new SiteWatch(around, this.vigils);
    this.door = new HeartbeatDoor(around, this.vigils);
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
    this.#readUp(before.length); // what nobody has read yet is of the life before
    this.#life++;
    this.#endedMs = null;
    this.vigils.serverBegins(this.#time.trueMs, this.#time.wallMs);
    for (let number = 0; number < this.#reliedOn; number++) {
      const [was, is] = [before[number], this.#digests[number]];
      if (was === undefined || is === undefined || !was.equals(is))
        throw new Violation("receipt", `entry ${number}, which was relied on, is gone after a crash`);
    }
    this.#receipts = new Map(); // what was answered before the crash was
  }

  /** The server's process has ended, or stops now. */
  closed(): void {
    if (this.#database !== null) {
      this.#endedMs = this.#time.trueMs;
      this.vigils.serverEnds(this.#time.trueMs, this.jumps);
    }
    this.#database?.close();
    this.#database = null;
    this.#read = null;
  }

  /** @param known so many entries were seen before, and mean nothing new */
  #readUp(known = 0): void {
    if (this.#read === null) return;
    const nowMs = this.#endedMs ?? this.#time.trueMs;
    for (const [number, body] of this.#read.all(this.#ledger.size) as [number, Buffer][]) {
      const entry = JSON.parse(String(body)) as LogEntry;
      this.#digests.push(createHash("sha256").update(body).digest());
      const wrong = this.#ledger.take(entry);
      if (wrong !== null) throw new Violation(invariantOf(entry), `entry ${number}: ${wrong}: ${String(body)}`);
      this.#note(number, entry);
      if (number >= known) this.#follow(number, entry, nowMs);
    }
    const wrongSite = this.sites.look(nowMs);
    if (wrongSite !== null) throw new Violation("alive", wrongSite);
    this.#readMs = nowMs;
    this.#readJumps = this.jumps;
    const machine = this.#endedMs === null && !this.#isExcused() ? this.vigils.overdue(nowMs) : null;
    if (machine !== null) throw new Violation("alive", `the machine ${machine} is silent, and is not locked`);
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

  /** What a new entry tells, in true time. */
  #follow(number: number, entry: LogEntry, nowMs: number): void {
    const id = String(entry["machine"]);
    const { kind } = entry;
    const written: Written = { sinceMs: this.#readMs, nowMs, wallMs: entry.at, jumps: this.#readJumps };
    const wrong = this.sites.follow(entry, written);
    if (wrong !== null) throw new Violation("alive", `entry ${number}: ${wrong}`);
    const machine = this.#ledger.machines.get(id);
    if (machine === undefined) return;
    if (entry["window"] !== undefined && kind === "release") {
      this.#enter(number, entry, machine, written);
      return;
    }
    if (kind === "release" || kind === "flood") {
      if (machine.policy !== "alive") return;
      const wrong = kind === "release" ? this.vigils.released(id, written) : this.vigils.refusal(id, this.#readMs);
      if (wrong !== null) throw new Violation("policy", `entry ${number}: released, and ${wrong}`);
      return;
    }
    this.#changedMs.set(id, nowMs);
    if (kind === "request-approve" || kind === "request-deny") this.#requireSaid(number, entry);
    if (kind === "lease-end" && entry["why"] === "booted") {
      const wrong = this.door.ended(id, Number(entry["lease"]));
      if (wrong !== null) throw new Violation("lease", `entry ${number}: ${wrong}`);
    }
    if (kind === "machine-gone") {
      const wrong = this.vigils.gone(id, nowMs);
      if (wrong !== null) throw new Violation("alive", `entry ${number}: ${wrong}`);
    }
    const isBegun = kind === "machine-policy" || kind === "machine-unlock";
    if (isBegun && machine.policy === "alive" && machine.state === "active")
      this.vigils.begin(id, machine.timeoutMs, written);
    else if (machine.policy !== "alive" || machine.state !== "active") this.vigils.end(id);
  }

  /** A window of its site has let a machine in. */
  #enter(number: number, entry: LogEntry, machine: LedgerMachine, written: Written): void {
    const isSilent = machine.policy === "alive" && this.vigils.refusal(machine.id, written.sinceMs) !== null;
    const wrong =
      (isSilent ? this.sites.refusal(machine, String(entry["from"])) : null) ??
      this.sites.entered(machine, entry, written);
    if (wrong !== null) throw new Violation("policy", `entry ${number}: ${wrong}`);
  }

  #requireSaid(number: number, entry: LogEntry): void {
    const said = `${entry["by"]} ${entry.kind.slice(8)} ${entry["request"]}`;
    const named = `${entry["by"]} ${entry.kind.slice(8)} ${entry["machine"]}`;
    if (!this.#said.has(said) && !this.#said.has(named))
      throw new Violation("approval", `entry ${number}: no operator has said so: ${JSON.stringify(entry)}`);
  }

  /** An operator says something to a request, or to what a machine may ask for. */
  says(by: number, verb: string, requestOrMachine: string): void {
    this.#said.add(`${by} ${verb} ${requestOrMachine}`);
  }

  /** The server stands still from now on: what it has written is of before. */
  standsStill(): void {
    this.#readUp();
  }

  /** The server's clock is set. */
  clockSet(offsetMs: number): void {
    this.jumps++;
    this.vigils.clockSet(this.#time.trueMs, offsetMs);
  }

  #isSettled(machine: string): boolean {
    if ((this.#changing.get(machine) ?? 0) > 0) return false;
    return this.#time.trueMs - (this.#changedMs.get(machine) ?? Number.NEGATIVE_INFINITY) > SETTLED_MS;
  }

  /** Why a latch must not be released to this address now; null where it may be. */
  #refusal(latch: LedgerLatch, from: string): string | null {
    const refusal = this.#ledger.refusal(latch, this.#time.wallMs, from);
    const { machine } = latch;
    if (refusal !== null || machine.policy !== "alive") return refusal;
    if (this.#ledger.sites.of(machine)?.state === "open") return this.sites.refusal(machine, from);
    return this.vigils.refusal(machine.id, this.#time.trueMs);
  }

  /** Whether a latch surely is released to this address now, if the server can answer at all. */
  isOpen(latch: LedgerLatch, from: string): boolean {
    const { machine } = latch;
    const site = this.#ledger.sites.of(machine);
    if (this.#refusal(latch, from) !== null) return false;
    if (site !== null && site.state !== "free" && machine.letIn !== site.window)
      return this.sites.isLetIn(machine, from);
    return machine.policy !== "alive" || this.vigils.isOpen(machine.id, this.#time.trueMs);
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
    const opening = /^\/machine\/([^/]+)\/session$/.exec(path)?.[1];
    if (isHeartbeat(path) || (opening !== undefined && body.length > 0)) {
      this.#readUp();
      const judge =
        opening === undefined
          ? this.door.beatArrived(from, body, path !== "/alive")
          : this.door.sessionAsked(opening, from, body);
      return (answer) => {
        this.#readUp();
        judge(answer);
      };
    }
    if (path === "/witness/add-checkpoint") return ({ status }) => this.witness.answered(body, status);
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
      isExcused: this.#isExcused(),
      refusal: latch === undefined ? "there is no such latch" : this.#refusal(latch, from),
      isOpen: latch !== undefined && this.isOpen(latch, from),
      version: latch?.machine.version ?? 0,
      changes: this.#changesBegun,
    };
  }

  #answered(asked: Asked, { status }: Answer): void {
    this.#readUp();
    const latch = this.#ledger.latches.get(asked.latchId);
    if (status === 200) this.#released(asked, latch);
    else if (status === 403 || status === 410) this.#refused(asked, latch, status);
    else if (status === 503) {
      if (!asked.isExcused && !this.#isExcused())
        throw new Violation("liveness", "the server answers that it cannot, and its disk is well");
    } else if (status !== 404) throw new Violation("defect", `a release was answered ${status}`);
  }

  #released(asked: Asked, latch: LedgerLatch | undefined): void {
    this.releases++;
    this.#reliedOn = this.#ledger.size;
    if (latch === undefined) throw new Violation("policy", "a latch was released that the log does not know");
    for (const subject of [asked.latchId, latch.machine.id]) {
      const stopped = this.#stopped.get(subject);
      if (stopped !== undefined) throw new Violation("acknowledged", `released after it was told to be ${stopped}`);
    }
    if (this.#useReceipt(asked)) return;
    if (!this.#isFlooded(asked)) throw new Violation("receipt", "released, and no receipt is on the disk");
    const now = this.#refusal(latch, asked.from);
    if (asked.refusal !== null && now !== null) throw new Violation("policy", `released under a flood: ${now}`);
  }

  #useReceipt({ latchId, from, size }: Asked): boolean {
    const receipts = this.#receipts.get(latchId) ?? [];
    const at = receipts.findIndex((receipt) => receipt.number >= size && receipt.from === from);
    if (at < 0) return false;
    receipts.splice(at, 1); // an earlier one may be of an answer that leaves late
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
    if (latch === undefined || asked.jumps !== this.jumps) return;
    if (asked.changes !== this.#changesBegun || this.#isChanging(latch)) return;
    if (asked.version !== latch.machine.version) return;
    this.#requireAsked(latch, asked);
    if (!asked.isOpen || !this.isOpen(latch, asked.from)) return;
    throw new Violation("liveness", `refused with ${status} what may be released`);
  }

  /** Who is refused for want of an approval waits for one, where there is room. */
  #requireAsked({ machine, state }: LedgerLatch, { from }: Asked): void {
    const { requests } = this.#ledger;
    if ((this.#ledger.sites.of(machine)?.state ?? "free") !== "free") return;
    if (machine.policy !== "approval" || machine.state !== "active" || state !== "active") return;
    if (requests.of(machine, from) !== null || requests.count(machine) >= MOST_REQUESTS) return;
    if (machine.lease !== null || this.#time.trueMs - (this.#changedMs.get(machine.id) ?? 0) < SETTLED_MS) return;
    throw new Violation("liveness", "a machine needs an approval, and nobody is asked");
  }

  #isChanging(latch: LedgerLatch): boolean {
    return (this.#changing.get(latch.machine.id) ?? 0) > 0;
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

/** Which invariant an entry breaks that must not be. */
function invariantOf(entry: LogEntry): Invariant {
  if (entry.kind === "machine-gone") return "alive";
  if (entry["why"] === "booted") return "lease";
  if (entry.kind.startsWith("site")) return "alive";
  return entry.kind.startsWith("request") || entry["request"] !== undefined ? "approval" : "policy";
}

function digestOf(body: Buffer): string {
  return createHash("sha256").update(body).digest("base64");
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
