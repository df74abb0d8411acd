import { FairQueue } from "./fair-queue.ts";
import type { Network } from "./network.ts";

/** An operation that waits to begin. */
export interface Applicant {
  readonly network: Network;
  start(): void;
  /** Too many wait. */
  refuse(): void;
}

export interface AdmissionLimits {
  /** As many as share a commit: what an operator asks for waits for no more than these. */
  readonly operations: number;
  readonly waiting: number;
}

/**
 * Lets strangers' operations begin. A bounded number is under way, a bounded number waits, and
 * networks take turns; beyond that, whoever asks most is refused.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #waiting = new FairQueue<Applicant>();
  #underWay = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Each that was started must `leave` when it is done. */
  enter(applicant: Applicant): void {
    if (this.#underWay < this.#limits.operations) {
      this.#underWay++;
      applicant.start();
      return;
    }
    this.#waiting.push(applicant.network, applicant);
    if (this.#waiting.length > this.#limits.waiting) this.#waiting.dropFromLongest()?.refuse();
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#underWay--;
    else next.start();
  }
}
