import { type Pace, take } from "./pace.ts";

/** Of a machine and of a latch. `revoked` is final: the keys are destroyed. */
export type State = "active" | "locked" | "revoked";

/** What a policy knows of a machine. `epoch` counts its changes of state: what was granted under an older one is void. */
export interface MachineFacts {
  readonly state: State;
  readonly epoch: number;
}

/** What a policy knows of a latch. `epoch` names the generation of its keys. */
export interface LatchFacts {
  readonly state: State;
  readonly epoch: number;
  /** How often it was released of late. */
  readonly pace: Pace;
}

/** One recovery request whose key and point were found to be in order. */
export interface ReleaseRequest {
  /** The epoch of the key that it names. */
  readonly epoch: number;
}

export type RefusalReason = "latch/revoked" | "machine/locked" | "latch/busy";

export type Decision =
  | { readonly release: true; /** The latch's pace from now on. */ readonly pace: Pace }
  | { readonly release: false; readonly reason: RefusalReason };

/**
 * Whether a request is answered. Pure: what is known goes in, a decision comes out, and the caller makes it durable.
 * The final state is told before the passing one, so that a client learns that waiting is of no use.
 */
export function decide(request: ReleaseRequest, machine: MachineFacts, latch: LatchFacts, nowMs: number): Decision {
  if (machine.state === "revoked" || latch.state === "revoked" || request.epoch !== latch.epoch) {
    return refuse("latch/revoked");
  }
  if (machine.state === "locked" || latch.state === "locked") return refuse("machine/locked");
  const pace = take(latch.pace, nowMs);
  return pace === null ? refuse("latch/busy") : { release: true, pace };
}

function refuse(reason: RefusalReason): Decision {
  return { release: false, reason };
}
