/**
 * The looks of one life of a server for machines that are gone, and windows of sites that are
 * over. There is one every second, which is too many to simulate. Those that find nothing change
 * nothing but when the server listened last: they are told of, and not made.
 */
import type { Pulses } from "../../src/server/service/memory/pulses.ts";
import type { Sites } from "../../src/server/service/memory/sites.ts";
import type { System } from "../../src/system/port.ts";
import type { SimulatedTime } from "./time.ts";

const LOOK_MS = 1000;

export class Looks {
  readonly #time: SimulatedTime;
  readonly #pulses: Pulses;
  readonly #sites: Sites;
  readonly #isAlive: () => boolean;
  readonly #startMs: number;
  #wake: (() => void) | null = null;
  #atMs = Number.POSITIVE_INFINITY;
  #callOff: () => void = () => {};
  /** Since when the process has stood still; null where it runs. */
  #heldMs: number | null = null;

  /** @param followed from now on, as long as the process lives */
  constructor(
    time: SimulatedTime,
    followed: { readonly pulses: Pulses; readonly sites: Sites },
    isAlive: () => boolean,
  ) {
    this.#isAlive = isAlive;
    this.#time = time;
    this.#pulses = followed.pulses;
    this.#sites = followed.sites;
    this.#startMs = time.trueMs;
    this.#follow();
  }

  /** Waits for the next look that finds anything. @returns as System.sleep */
  readonly sleep: System["sleep"] = (_delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = () => {
        signal?.removeEventListener("abort", wake);
        this.#wake = null;
        this.#callOff();
        this.#atMs = Number.POSITIVE_INFINITY;
        resolve();
      };
      signal?.addEventListener("abort", wake, { once: true });
      this.#wake = wake;
      this.#plan(this.#firstDueMs());
    });

  /** The process stands still from now on. */
  hold(): void {
    this.#heldMs = this.#time.trueMs;
  }

  /** It goes on: what was due meanwhile is done at once. */
  goOn(): void {
    this.#wake?.();
  }

  #plan(dueMs: number): void {
    if (this.#wake === null || dueMs === Number.POSITIVE_INFINITY) return;
    const atMs = this.#lookBefore(Math.max(dueMs, this.#time.trueMs + 1) - 1) + LOOK_MS;
    if (atMs >= this.#atMs) return;
    this.#callOff();
    this.#atMs = atMs;
    this.#callOff = this.#time.at(atMs - this.#time.trueMs, () => {
      if (this.#heldMs === null && this.#isAlive()) this.#wake?.();
    });
  }

  #firstDueMs(): number {
    // What could not be written is tried again at the next look.
    let firstMs = this.#sites.missed.length > 0 ? this.#time.trueMs : Number.POSITIVE_INFINITY;
    for (let number = 0; number < this.#pulses.size; number++) {
      const pulse = this.#pulses.pulseOf(number);
      const isSettled = this.#pulses.isLocked(number) || this.#pulses.isGone(number);
      if (pulse !== null && !isSettled) firstMs = Math.min(firstMs, pulse.dueMs);
    }
    for (const group of this.#sites.over(Number.POSITIVE_INFINITY))
      firstMs = Math.min(firstMs, this.#sites.of(group)?.untilMs ?? firstMs);
    return firstMs;
  }

  /** When the last look was at some time. */
  #lookBefore(ms: number): number {
    return ms - ((ms - this.#startMs) % LOOK_MS);
  }

  #follow(): void {
    const pulses = this.#pulses;
    let listenedMs = pulses.listenedMs;
    Object.defineProperty(pulses, "listenedMs", {
      get: () => Math.max(listenedMs, this.#lookBefore(this.#heldMs ?? this.#time.trueMs)),
      set: (ms: number) => {
        this.#heldMs = null;
        listenedMs = ms;
      },
    });
    const { set } = this.#sites;
    this.#sites.set = (group, site) => {
      set.call(this.#sites, group, site);
      if (site?.state === "open") this.#plan(site.untilMs);
    };
    const { setPulse, setLocked, setGone } = pulses;
    pulses.setGone = (number, isGone) => {
      setGone.call(pulses, number, isGone);
      this.#plan(pulses.pulseOf(number)?.dueMs ?? Number.POSITIVE_INFINITY);
    };
    pulses.setPulse = (number, pulse) => {
      setPulse.call(pulses, number, pulse);
      if (pulse !== null) this.#plan(pulse.dueMs);
    };
    pulses.setLocked = (number, isLocked) => {
      setLocked.call(pulses, number, isLocked);
      this.#plan(pulses.pulseOf(number)?.dueMs ?? Number.POSITIVE_INFINITY);
    };
  }
}
