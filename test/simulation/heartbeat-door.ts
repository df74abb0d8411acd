/** What sessions and heartbeats the server may take, and what it must say to them. */
import { createHash } from "node:crypto";
import { readHeartbeat } from "../../src/formats/own/heartbeat.ts";
import type { Ledger } from "./ledger.ts";
import type { Answer } from "./network.ts";
import type { Vigils } from "./vigil.ts";
import { Violation } from "./violation.ts";

/** A heartbeat that somebody who has the session's key has written. */
interface KnownBeat {
  readonly session: string;
  readonly counter: number;
  isTaken: boolean;
  /** How often it has arrived. */
  arrivals: number;
}

interface KnownSession {
  readonly machine: string;
  readonly from: string;
  readonly life: number;
  readonly arrivedMs: number;
  readonly answeredMs: number;
  /** How many requests for a session of the machine had arrived before it was opened. */
  readonly asked: number;
  /** How long the log was when it was asked for, and when it was there. */
  readonly sizeBefore: number;
  readonly sizeAfter: number;
  /** The highest counter that was answered, and that has arrived. */
  highest: number;
  highestArrived: number;
}

interface Signed {
  readonly atMs: number;
  isTaken: boolean;
}

/** What the door knows of the rest of the world. */
export interface Surroundings {
  readonly ledger: Ledger;
  /** True time. */
  readonly nowMs: number;
  /** By the server's clock, which was set so often till then. */
  readonly wallMs: number;
  readonly jumps: number;
  /** Counts the server's processes. */
  readonly life: number;
  /** Whether the server, or its disk, may be late now. */
  readonly isExcused: boolean;
  /** Whether what the log says of a machine has been so for a moment, and nobody changes it. */
  isSettled(machine: string): boolean;
  /** A heartbeat of a machine counts that has come within the window of its site. */
  heard(machine: string, from: string, arrivedMs: number): void;
}

/** What is left of a machine's lease, at a time of the server's clock. */
interface Window {
  readonly lease: number | null;
  readonly leftMs: number;
  readonly wallMs: number;
  readonly jumps: number;
}

/** An answer that tells of no lease. */
const HEARD_BYTES = 37;
/** A challenge is good for a minute. */
const OLDEST_MS = 120_000;

export class HeartbeatDoor {
  readonly #around: Surroundings;
  readonly #vigils: Vigils;
  readonly #beats = new Map<string, KnownBeat>();
  readonly #sessions = new Map<string, KnownSession>();
  readonly #signed = new Map<string, Signed>();
  /** The sessions of heartbeats that have arrived, and were not answered. */
  readonly #pending: { readonly session: KnownSession }[] = [];
  /** How many requests for a session have arrived, by machine. */
  readonly #asked = new Map<string, number>();
  /** The addresses of the heartbeats that counted, by machine. */
  readonly #homes = new Map<string, Set<string>>();
  /** In which life it was heard last, and how many requests for a session had arrived then. */
  readonly #heardIn = new Map<string, { readonly life: number; readonly asked: number }>();
  /** How many heartbeats the server has counted. */
  counted = 0;

  constructor(around: Surroundings, vigils: Vigils) {
    this.#around = around;
    this.#vigils = vigils;
  }

  /** Whoever has a machine's identity has signed this request for a session now. */
  signed(body: Buffer): void {
    this.#signed.set(digestOf(body), { atMs: this.#around.nowMs, isTaken: false });
  }

  /** Whoever has the key of a session has written this heartbeat. */
  written(body: Buffer): void {
    const read = readHeartbeat(body);
    if (read === null) return;
    const session = read.session.toString("hex");
    this.#beats.set(digestOf(body), { session, counter: read.counter, isTaken: false, arrivals: 0 });
  }

  /** A request for a session has arrived. @returns what judges its answer */
  sessionAsked(machine: string, from: string, body: Buffer): (answer: Answer) => void {
    const arrivedMs = this.#around.nowMs;
    const asked = (this.#asked.get(machine) ?? 0) + 1;
    this.#asked.set(machine, asked);
    const stopped = this.#stopped(machine);
    const sizeBefore = this.#around.ledger.size;
    return ({ status, body: answer }) => {
      if (status !== 200) return;
      const signed = this.#signed.get(digestOf(body));
      if (signed === undefined) throw new Violation("heartbeat", "a session was opened that nobody has signed for");
      if (signed.isTaken) throw new Violation("heartbeat", "one request has opened two sessions");
      if (this.#around.nowMs - signed.atMs > OLDEST_MS)
        throw new Violation("heartbeat", "a session was opened by a request of long ago");
      if (stopped !== null && this.#stopped(machine) !== null)
        throw new Violation("heartbeat", `a machine that is ${stopped} has opened a session`);
      signed.isTaken = true;
      const { life, nowMs } = this.#around;
      const sizes = { sizeBefore, sizeAfter: this.#around.ledger.size };
      const times = { arrivedMs, answeredMs: nowMs, asked };
      const opened = { machine, from, life, ...times, ...sizes, highest: 0, highestArrived: 0 };
      this.#sessions.set(sessionIn(answer), opened);
    };
  }

  /**
   * A heartbeat has arrived.
   * @param asksLease whether it wants to know what is left of its machine's lease
   * @returns what judges its answer
   */
  beatArrived(from: string, body: Buffer, asksLease: boolean): (answer: Answer) => void {
    const arrivedMs = this.#around.nowMs;
    const beat = this.#beats.get(digestOf(body));
    const session = beat === undefined ? undefined : this.#sessions.get(beat.session);
    if (beat === undefined || session === undefined) {
      return ({ status }) => {
        if (status === 200) throw new Violation("heartbeat", "a heartbeat counts that nobody has written");
      };
    }
    beat.arrivals++;
    session.highestArrived = Math.max(session.highestArrived, beat.counter);
    const isLate = beat.counter <= session.highest;
    const wrong = () => this.#wrongWith(beat, session, { from, arrivedMs, isLate });
    const vigil = wrong() === null ? this.#vigils.arrives(session.machine, arrivedMs) : null;
    const isNewest = session.asked === this.#asked.get(session.machine);
    const stateBefore = this.#stateOf(session.machine);
    const booted = this.#bootedIn(session);
    const askedBefore = this.#asked.get(session.machine) ?? 0;
    const windowBefore = this.#windowOf(session.machine);
    const pending = { session };
    this.#pending.push(pending);
    return ({ status, body: answer }) => {
      this.#pending.splice(this.#pending.indexOf(pending), 1);
      const why = wrong();
      if (status !== 200) {
        vigil?.refused();
        const isFree =
          isNewest &&
          session.asked === this.#asked.get(session.machine) &&
          session.highestArrived === beat.counter &&
          beat.arrivals === 1;
        if (vigil !== null && why === null && isFree && stateBefore !== "revoked" && status !== 503)
          if (this.#stateOf(session.machine) !== "revoked")
            throw new Violation("liveness", `a heartbeat that ought to count is answered ${status}`);
        return;
      }
      if (why !== null) throw new Violation("heartbeat", why);
      beat.isTaken = true;
      session.highest = Math.max(session.highest, beat.counter);
      this.counted++;
      this.#heardIn.set(session.machine, { life: session.life, asked: askedBefore });
      const homes = this.#homes.get(session.machine) ?? new Set();
      this.#homes.set(session.machine, homes.add(from));
      if (booted !== null && this.#bootedIn(session) === booted && !this.#around.isExcused)
        throw new Violation("lease", "a machine has booted, and its window is still open");
      const isToldLocked = answer[0] !== 0;
      if (isToldLocked) vigil?.refused();
      else {
        vigil?.counted(this.#around.nowMs);
        this.#around.heard(session.machine, from, arrivedMs);
      }
      this.#requireTruth(session.machine, stateBefore, isToldLocked);
      if (asksLease) this.#requireLease(session.machine, windowBefore, answer);
      else if (answer.length !== HEARD_BYTES) throw new Violation("heartbeat", "more is told than was asked for");
    };
  }

  /** The lease that this session's heartbeats end; null where there is none for sure. */
  #bootedIn({ machine, sizeBefore }: KnownSession): number | null {
    const { ledger } = this.#around;
    return ledger.bootedIn(ledger.machines.get(machine), sizeBefore);
  }

  /** A heartbeat is said to have ended a window. @returns what is wrong with that */
  ended(machine: string, lease: number): string | null {
    const { ledger, life } = this.#around;
    const known = ledger.machines.get(machine);
    for (const { session } of this.#pending) {
      if (known === undefined || session.machine !== machine || session.life !== life) continue;
      if (ledger.hasOpened(known, lease, session.sizeAfter)) return null;
    }
    return "a window is ended by a machine that was not heard after its boot";
  }

  /** Whether it was heard in this life of the server, and has asked for no session since. */
  isPlaceKnown(machine: string): boolean {
    const heard = this.#heardIn.get(machine);
    return heard?.life === this.#around.life && heard.asked === this.#asked.get(machine);
  }

  /** The addresses that a machine was ever heard from. */
  homes(machine: string): ReadonlySet<string> {
    return this.#homes.get(machine) ?? new Set();
  }

  /** Why a heartbeat must not count; null where it ought to. */
  #wrongWith(
    beat: KnownBeat,
    session: KnownSession,
    { from, arrivedMs, isLate }: { readonly from: string; readonly arrivedMs: number; readonly isLate: boolean },
  ): string | null {
    if (beat.isTaken) return "one heartbeat counts twice";
    if (isLate) return "a heartbeat counts that came too late";
    if (session.from !== from) return "a heartbeat counts that came from another address";
    if (session.life !== this.#around.life) return "a session has outlived the server's process";
    for (const later of this.#sessions.values())
      if (later.machine === session.machine && later.arrivedMs > session.answeredMs && later.answeredMs < arrivedMs)
        return "a heartbeat counts of a session that has ended";
    return null;
  }

  /** A machine acts by what it is told. */
  #requireTruth(machine: string, before: string, isToldLocked: boolean): void {
    const state = this.#stateOf(machine);
    if (state !== before || !this.#around.isSettled(machine)) return;
    if (state !== "active" && !isToldLocked)
      throw new Violation("heartbeat", `a machine that is ${state} is told that it is not`);
    if (state === "active" && isToldLocked && this.#vigils.isOpen(machine, this.#around.nowMs))
      throw new Violation("liveness", "a machine that is not locked is told that it is");
  }

  /** What a machine hears of its lease lets its tether wait for so long. */
  #requireLease(machine: string, before: Window, answer: Buffer): void {
    const told = answer.readUInt32BE(5);
    const now = this.#windowOf(machine);
    if (before.jumps !== now.jumps) return;
    // Any of the two may have been there when the server looked.
    if (told * 1000 > Math.max(before.leftMs, now.leftMs + now.wallMs - before.wallMs))
      throw new Violation("lease", `a machine is told of ${told} seconds of a lease that it has not`);
    const isSame = before.lease === now.lease && before.leftMs > 0 && now.leftMs > 0;
    if (isSame && !this.#around.isExcused && told < Math.floor(now.leftMs / 1000))
      throw new Violation("liveness", `a machine is told of ${told} seconds of a lease that has ${now.leftMs} ms`);
  }

  #windowOf(machine: string): Window {
    const { ledger, wallMs, jumps } = this.#around;
    const known = ledger.machines.get(machine);
    const leftMs = known === undefined ? 0 : ledger.windowLeft(known, wallMs);
    return { lease: known?.lease?.number ?? null, leftMs, wallMs, jumps };
  }

  #stateOf(machine: string): string {
    return this.#around.ledger.machines.get(machine)?.state ?? "unknown";
  }

  /** The state of a machine that opens no session; null where it may. */
  #stopped(machine: string): string | null {
    const state = this.#stateOf(machine);
    return state === "active" || !this.#around.isSettled(machine) ? null : state;
  }
}

/** The session that an answer names, without a look at who has signed it. */
function sessionIn(answer: Buffer): string {
  const { payload } = JSON.parse(String(answer)) as { payload: string };
  const { session } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { session: string };
  return Buffer.from(session, "base64url").toString("hex");
}

function digestOf(body: Buffer): string {
  return createHash("sha256").update(body).digest("base64");
}
