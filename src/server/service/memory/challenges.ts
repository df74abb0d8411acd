import { createHmac, timingSafeEqual } from "node:crypto";
import type { System } from "../../../system/port.ts";

/** How long a challenge is good for, by either clock. */
const LIFE_MS = 60_000;
const SECRET_BYTES = 32;
const TIMES_BYTES = 16;
const MAC_BYTES = 32;

/**
 * What a machine signs with its request for a lease, so that a copy of the request is of no use
 * later: docs/format/lease.md. Nothing is kept for one. It holds when it was made, by both clocks,
 * under a MAC that covers the machine and the number of its last lease too. So it is good for a
 * minute, until the machine's next lease, and until the server stops.
 */
export class Challenges {
  readonly #system: Pick<System, "nowMs" | "monotonicMs">;
  readonly #secret: Buffer;

  constructor(system: Pick<System, "nowMs" | "monotonicMs" | "random">) {
    this.#system = system;
    this.#secret = system.random(SECRET_BYTES);
  }

  /** A challenge for a machine that has had so many leases, base64url. */
  make(machineId: string, leases: number): string {
    const times = Buffer.alloc(TIMES_BYTES);
    times.writeDoubleBE(this.#system.nowMs(), 0);
    times.writeDoubleBE(this.#system.monotonicMs(), TIMES_BYTES / 2);
    return Buffer.concat([times, this.#mac(times, machineId, leases)]).toString("base64url");
  }

  /** Whether a challenge was made for this machine and this many leases, and is still good. */
  isGood(challenge: string, machineId: string, leases: number): boolean {
    const bytes = Buffer.from(challenge, "base64url");
    if (bytes.length !== TIMES_BYTES + MAC_BYTES) return false;
    const times = bytes.subarray(0, TIMES_BYTES);
    if (!timingSafeEqual(bytes.subarray(TIMES_BYTES), this.#mac(times, machineId, leases))) return false;
    const aheadMs = [
      this.#system.nowMs() - times.readDoubleBE(0),
      this.#system.monotonicMs() - times.readDoubleBE(TIMES_BYTES / 2),
    ];
    return aheadMs.every((ms) => ms >= 0 && ms < LIFE_MS);
  }

  #mac(times: Buffer, machineId: string, leases: number): Buffer {
    return createHmac("sha256", this.#secret)
      .update("nightlatch-challenge\0", "latin1")
      .update(times)
      .update(`${machineId} ${leases}`, "latin1")
      .digest();
  }
}
