import type { Network } from "../network.ts";
import { FairQueue } from "./fair-queue.ts";

/** An operation that waits to begin. */
interface Applicant {
  readonly network: Network;
  start(): void;
  /** Too many wait already. */
  refuse(): void;
}

/** How many operations of strangers may be under way, and how many may wait. */
export interface AdmissionLimits {
  /**
   * As many as share a commit, twice: while what one has released is being multiplied, the next is
   * made. What an operator asks for waits for no more than these.
   */
  readonly operations: number;
  readonly waiting: number;
}

/**
 * Some strangers are served while an operator waits. An operator's request may take its time, and
 * must not stop the fleet.
 */
const BESIDE_OPERATORS = 8;

/**
 * Lets strangers' operations begin. A bounded number is under way, a bounded number waits, and
 * networks take turns. Beyond that, whoever asks most is refused.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #waiting = new FairQueue<Applicant>();
  #underWay = 0;
  #operators = 0;
  #isFilling = false;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /**
   * Starts an operation or has it wait; where too many wait, one of them is refused. Each that was
   * started must `leave` when it is done.
   */
  enter(applicant: Applicant): void {
    if (this.#underWay < this.#most) {
      this.#underWay++;
      applicant.start();
      return;
    }
    this.#waiting.push(applicant.network, applicant);
    if (this.#waiting.length > this.#limits.waiting) this.#waiting.dropFromLongest()?.refuse();
  }

  /** Whether as many are under way as may be, and others wait. */
  get isPressed(): boolean {
    return this.#waiting.length > 0;
  }

  /** An operation that was started is done. */
  leave(): void {
    this.#underWay--;
    this.#fill();
  }

  /**
   * Until what it gives is disposed of, an operator waits for an answer, and strangers have little
   * of each turn of the event loop.
   */
  giveWay(): Disposable {
    this.#operators++;
    return {
      [Symbol.dispose]: () => {
        this.#operators--;
        this.#fill();
      },
    };
  }

  get #most(): number {
    return this.#operators > 0 ? Math.min(BESIDE_OPERATORS, this.#limits.operations) : this.#limits.operations;
  }

  /** One that is done as soon as it starts leaves while others are being let in: it is one loop. */
  #fill(): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    try {
      while (this.#underWay < this.#most) {
        const next = this.#waiting.shift();
        if (next === undefined) return;
        this.#underWay++;
        next.start();
      }
    } finally {
      this.#isFilling = false;
    }
  }
}
