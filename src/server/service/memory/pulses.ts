import { Memory } from "../../memory.ts";
import type { Pulse } from "../../policy/alive.ts";
import { type Pace, RESTED } from "../../policy/pace.ts";
import { ADDRESS_BYTES, packAddress, packInto } from "./place.ts";

const ID_BYTES = 32;
const KEY_BYTES = 32;
/** Machines share typed arrays of so many: growing copies nothing, and one page is 2 MiB. */
const PAGE = 16_384;
const PAGE_BITS = Math.log2(PAGE);

/** The address that was looked at last: every heartbeat has one. */
const PACKED = new Uint8Array(ADDRESS_BYTES);

/** Bits of a machine's flags. */
const EXTENDED = 1;
const LOCKED = 2;
/** It was heard since that was last written to the store. */
const UNSAVED = 4;
/** It fell silent with others of its site, and is not locked for that. */
const GONE = 8;
/** Its session was opened since it was last heard. */
const UNHEARD = 16;

/** What is known of `PAGE` machines, each in the place that its number gives. */
class Page {
  readonly ids = new Uint8Array(PAGE * ID_BYTES);
  readonly keys = new Uint8Array(PAGE * KEY_BYTES);
  readonly addresses = new Uint8Array(PAGE * ADDRESS_BYTES);
  /** Random, and part of the session's name; 0 where there is none. */
  readonly tags = new Uint32Array(PAGE);
  readonly counters = new Uint32Array(PAGE);
  readonly sessions = new Uint32Array(PAGE);
  readonly paces = new Float64Array(PAGE);
  /** 0 where the policy is another than `alive`. */
  readonly timeouts = new Uint32Array(PAGE);
  readonly openUntils = new Float64Array(PAGE);
  readonly dues = new Float64Array(PAGE);
  /** By the monotonic clock; minus infinity where it was not heard in this run. */
  readonly heards = new Float64Array(PAGE).fill(Number.NEGATIVE_INFINITY);
  /** By the wall clock. */
  readonly seens = new Float64Array(PAGE);
  readonly flags = new Uint8Array(PAGE);
}

/** How many bytes of memory a machine has here, beside its place in the index. */
export const PULSE_BYTES = Object.values(new Page()).reduce((sum, { byteLength }) => sum + byteLength / PAGE, 0);

/**
 * The heartbeats of all machines: their sessions, and when each was heard. It is in memory alone
 * and of a fixed size for each machine, since a million of them may send one every minute. A
 * machine is a number here, which stays the same as long as the server runs.
 */
export class Pulses {
  readonly #memory: Memory;
  readonly #pages: Page[] = [];
  #size = 0;
  /** Open addressing by the first bytes of an id, which is a hash: a number and one, or 0. */
  #index = new Int32Array(64);
  /** Where the search for what is unsaved goes on. */
  #cursor = 0;
  /** When this server last listened, by the monotonic clock. */
  listenedMs = Number.NEGATIVE_INFINITY;

  constructor(memory = new Memory()) {
    this.#memory = memory;
  }

  /** How many machines there are here. */
  get size(): number {
    return this.#size;
  }

  /** The number of a machine; null where nothing is known of it. */
  find(machineId: string): number | null {
    return this.#lookUp(Buffer.from(machineId, "base64url"));
  }

  /** The number of a machine, which it gets where it has none. */
  add(machineId: string): number {
    const id = Buffer.from(machineId, "base64url");
    const known = this.#lookUp(id);
    if (known !== null) return known;
    const number = this.#size++;
    if (number % PAGE === 0) this.#pages.push(new Page());
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.ids.set(id, at * ID_BYTES);
    if (this.#size * 2 > this.#index.length) this.#growIndex();
    else this.#enter(number);
    return number;
  }

  /** The id of a machine. */
  idOf(number: number): string {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return Buffer.from(page.ids.subarray(at * ID_BYTES, (at + 1) * ID_BYTES)).toString("base64url");
  }

  /** How many sessions a machine has opened in this run. */
  sessionsOf(number: number): number {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return page.sessions[at] ?? 0;
  }

  /**
   * Gives the name that a session of a machine can have, 8 bytes.
   * @param tag 4 random bytes
   */
  nameSession(number: number, tag: Buffer): Buffer {
    const session = Buffer.alloc(8);
    session.writeUInt32BE(number);
    session.writeUInt32BE(tag.readUInt32BE() || 1, 4);
    return session;
  }

  /**
   * Gives a machine a session in place of the one before.
   * @param session as `nameSession` gave it
   * @param key is copied
   */
  open(number: number, session: Buffer, key: Uint8Array, from: string): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.tags[at] = session.readUInt32BE(4);
    page.keys.set(key, at * KEY_BYTES);
    page.addresses.set(packAddress(from), at * ADDRESS_BYTES);
    page.counters[at] = 0;
    page.flags[at] = (page.flags[at] ?? 0) | UNHEARD;
    page.sessions[at] = (page.sessions[at] ?? 0) + 1;
  }

  /** Ends a machine's session, and wipes its key. */
  end(number: number): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.tags[at] = 0;
    page.keys.fill(0, at * KEY_BYTES, (at + 1) * KEY_BYTES);
  }

  /** Whose session this is; null where there is none of the name. */
  bySession(session: Buffer): number | null {
    const number = session.readUInt32BE();
    if (number >= this.#size) return null;
    const page = this.#pageOf(number);
    const at = number % PAGE;
    const tag = page.tags[at] ?? 0;
    return tag !== 0 && tag === session.readUInt32BE(4) ? number : null;
  }

  /** The key of a machine's session, as it lies here. */
  keyOf(number: number): Uint8Array {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return page.keys.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES);
  }

  /**
   * The address that a machine was last heard from, packed; null where it was not heard in this
   * run, or has opened another session since: who has that opened elsewhere was not alive there.
   */
  placeOf(number: number): Buffer | null {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    const isHeard = ((page.flags[at] ?? 0) & UNHEARD) === 0 && this.seenMs(number) !== null;
    return isHeard ? Buffer.from(page.addresses.subarray(at * ADDRESS_BYTES, (at + 1) * ADDRESS_BYTES)) : null;
  }

  /** Whether this address is the one that opened the machine's session. */
  isFrom(number: number, from: string): boolean {
    const { addresses } = this.#pageOf(number);
    const first = (number % PAGE) * ADDRESS_BYTES;
    packInto(PACKED, from);
    for (let index = 0; index < ADDRESS_BYTES; index++) if (addresses[first + index] !== PACKED[index]) return false;
    return true;
  }

  /** Takes a counter of a session; false where one as great was there before. */
  count(number: number, counter: number): boolean {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    if (counter <= (page.counters[at] ?? 0)) return false;
    page.counters[at] = counter;
    return true;
  }

  /** How often a machine has opened sessions of late. */
  paceOf(number: number): Pace {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return { emptyAtMs: page.paces[at] ?? RESTED.emptyAtMs };
  }

  setPace(number: number, { emptyAtMs }: Pace): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.paces[at] = emptyAtMs;
  }

  /** Notes that a machine was heard, by both clocks. */
  hear(number: number, { nowMs, monotonicMs }: { readonly nowMs: number; readonly monotonicMs: number }): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.heards[at] = monotonicMs;
    page.seens[at] = nowMs;
    page.flags[at] = ((page.flags[at] ?? 0) | UNSAVED) & ~UNHEARD;
  }

  /** When it was heard in this run by the monotonic clock; minus infinity where it was not. */
  heardMs(number: number): number {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return page.heards[at] ?? Number.NEGATIVE_INFINITY;
  }

  /** The same by the wall clock; null where it was not. */
  seenMs(number: number): number | null {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return page.seens[at] || null;
  }

  /** The same of a machine by its id. */
  heardAtMs(machineId: string): number | null {
    const number = this.find(machineId);
    return number === null ? null : this.seenMs(number);
  }

  /** Whether it is locked or revoked. */
  isLocked(number: number): boolean {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return ((page.flags[at] ?? 0) & LOCKED) !== 0;
  }

  setLocked(number: number, isLocked: boolean): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.flags[at] = ((page.flags[at] ?? 0) & ~LOCKED) | (isLocked ? LOCKED : 0);
  }

  /** Whether it fell silent with its site. */
  isGone(number: number): boolean {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    return ((page.flags[at] ?? 0) & GONE) !== 0;
  }

  setGone(number: number, isGone: boolean): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.flags[at] = ((page.flags[at] ?? 0) & ~GONE) | (isGone ? GONE : 0);
  }

  /** Sets it within a transaction: it is as it was where that fails. */
  setGoneWithin(number: number, isGone: boolean): void {
    const before = this.isGone(number);
    this.#memory.changed(() => this.setGone(number, before));
    this.setGone(number, isGone);
  }

  /** What `alive` goes by; null under another policy. */
  pulseOf(number: number): Pulse | null {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    const timeoutMs = page.timeouts[at] ?? 0;
    if (timeoutMs === 0) return null;
    const [openUntilMs = 0, dueMs = 0] = [page.openUntils[at], page.dues[at]];
    return { timeoutMs, openUntilMs, dueMs, isExtended: ((page.flags[at] ?? 0) & EXTENDED) !== 0 };
  }

  /** Sets it; null: the policy is another. */
  setPulse(number: number, pulse: Pulse | null): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    page.timeouts[at] = pulse?.timeoutMs ?? 0;
    page.openUntils[at] = pulse?.openUntilMs ?? 0;
    page.dues[at] = pulse?.dueMs ?? 0;
    page.flags[at] = ((page.flags[at] ?? 0) & ~EXTENDED) | (pulse?.isExtended === true ? EXTENDED : 0);
  }

  /** Sets it within a transaction: it is as it was where that fails. */
  setPulseWithin(number: number, pulse: Pulse | null): void {
    const before = this.pulseOf(number);
    this.#memory.changed(() => this.setPulse(number, before));
    this.setPulse(number, pulse);
  }

  /** Those under `alive` that are due, and neither locked yet nor gone with their site. */
  due(nowMs: number, limit: number): number[] {
    const found: number[] = [];
    for (let number = 0; number < this.#size && found.length < limit; number++) {
      const page = this.#pageOf(number);
      const at = number % PAGE;
      if (page.timeouts[at] === 0 || nowMs < (page.dues[at] ?? 0)) continue;
      if (((page.flags[at] ?? 0) & (LOCKED | GONE)) === 0) found.push(number);
    }
    return found;
  }

  /** Changes what `alive` goes by, for every machine under it that is not gone with its site. */
  changeAll(change: (pulse: Pulse) => Pulse): void {
    for (let number = 0; number < this.#size; number++) {
      const pulse = this.pulseOf(number);
      if (pulse !== null && !this.isGone(number)) this.setPulse(number, change(pulse));
    }
  }

  /** Takes the numbers of machines that were heard since that was written; at most so many. */
  takeUnsaved(limit: number): number[] {
    const found: number[] = [];
    for (let looked = 0; looked < this.#size && found.length < limit; looked++) {
      const number = this.#cursor++ % this.#size;
      const page = this.#pageOf(number);
      const at = number % PAGE;
      if (((page.flags[at] ?? 0) & UNSAVED) === 0) continue;
      page.flags[at] = (page.flags[at] ?? 0) & ~UNSAVED;
      found.push(number);
    }
    this.#cursor %= Math.max(1, this.#size);
    return found;
  }

  /** What was taken could not be written. */
  giveBack(numbers: readonly number[]): void {
    for (const number of numbers) {
      const page = this.#pageOf(number);
      const at = number % PAGE;
      page.flags[at] = (page.flags[at] ?? 0) | UNSAVED;
    }
  }

  #pageOf(number: number): Page {
    const page = this.#pages[number >> PAGE_BITS];
    if (page === undefined) throw new RangeError(`there is no machine ${number}`);
    return page;
  }

  #lookUp(id: Buffer): number | null {
    if (id.length !== ID_BYTES) return null;
    for (let place = this.#placeOf(id, 0); ; place = (place + 1) % this.#index.length) {
      const number = (this.#index[place] ?? 0) - 1;
      if (number < 0) return null;
      const page = this.#pageOf(number);
      const at = number % PAGE;
      if (id.equals(page.ids.subarray(at * ID_BYTES, (at + 1) * ID_BYTES))) return number;
    }
  }

  #enter(number: number): void {
    const page = this.#pageOf(number);
    const at = number % PAGE;
    let place = this.#placeOf(page.ids, at * ID_BYTES);
    while (this.#index[place] !== 0) place = (place + 1) % this.#index.length;
    this.#index[place] = number + 1;
  }

  #placeOf(ids: Uint8Array, at: number): number {
    const [a = 0, b = 0, c = 0, d = 0] = [ids[at], ids[at + 1], ids[at + 2], ids[at + 3]];
    return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % this.#index.length;
  }

  #growIndex(): void {
    this.#index = new Int32Array(this.#index.length * 2);
    for (let number = 0; number < this.#size; number++) this.#enter(number);
  }
}
