// @ts-nocheck
import { type Arrival, acceptNext, closeArrival } from "../../system/tcp-listen.ts";
import type { Clock } from "../clock.ts";
import { networkOf, plainAddress } from "../network.ts";
import { FairQueue } from "./fair-queue.ts";

/**
 * How many are accepted in one turn of the event loop: as many as the kernel keeps. Each takes some
 * microseconds.
 */
const ACCEPTED = 4096;
/** How long one turn may be spent on making connections of descriptors. */
const TURN_MS = 5;

/**
 * Takes connections off the kernel's queue as fast as they come, and lets networks take turns in
 * what costs more. A flood of them would otherwise stand in that queue before everybody else, for
 * seconds, because Node itself accepts one connection in a turn of the event loop.
 */
export class Arrivals {
  readonly #waiting = new FairQueue<Arrival>();
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #most: number;
  readonly #admit: (arrival: Arrival) => void;
  #isWorking = false;

  /**
   * @param most how many may wait for a turn; beyond that, the networks that bring most lose them
   */
  constructor(clock: Pick<Clock, "monotonicMs">, most: number, admit: (arrival: Arrival) => void) {
    this.#clock = clock;
    this.#most = most;
    this.#admit = admit;
  }

  /**
   * Accepts what has arrived.
   * @param listening a descriptor at which connections may wait
   */
  gather(listening: number): void {
    for (let count = 0; count < ACCEPTED; count++) {
      const arrival = acceptNext(listening);
      if (arrival === null) break;
      this.#waiting.push(networkOf(plainAddress(arrival.address)), arrival);
      if (this.#waiting.length > this.#most) this.#drop();
    }
    if (!this.#isWorking) this.#work();
  }

  /** Ends those that wait. */
  close(): void {
    while (this.#waiting.length > 0) this.#drop();
  }

  #drop(): void {
    const arrival = this.#waiting.dropFromLongest();
    if (arrival !== undefined) closeArrival(arrival);
  }

  #work(): void {
    const deadlineMs = this.#clock.monotonicMs() + TURN_MS;
    do {
      const arrival = this.#waiting.shift();
      if (arrival === undefined) break;
      this.#admit(arrival);
    } while (this.#clock.monotonicMs() < deadlineMs);
    this.#isWorking = this.#waiting.length > 0;
    if (this.#isWorking) setImmediate(() => this.#work());
  }
}
