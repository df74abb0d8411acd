import { type Pace, take } from "./pace.ts";

/** The state of a machine or of a latch. `revoked` is final: the keys are destroyed. */
export type State = "active" | "locked" | "revoked";

/** What the policy knows of a machine. */
interface MachineFacts {
  readonly state: State;
}

/** What the policy knows of a latch. */
interface LatchFacts {
  readonly state: State;
  /** How often the latch was released of late. */
  readonly pace: Pace;
}

/** Why nothing is released. */
export type RefusalReason = "latch/revoked" | "machine/locked";

/** What the policy decides. */
type Decision =
  | {
      readonly release: true;
      /**
       * The latch's pace from now on; null where it is asked too often for a receipt of each
       * release.
       */
      readonly pace: Pace | null;
    }
  | { readonly release: false; readonly reason: RefusalReason };

/**
 * Decides whether a recovery request is answered, once its key and its point were found to be in
 * order. It is pure: the caller makes the decision durable. The final state is told before the
 * passing one, so that a client learns that waiting is of no use. Nobody is refused for asking
 * often: others can ask in a machine's place, and would keep it out.
 */
export function decide(machine: MachineFacts, latch: LatchFacts, nowMs: number): Decision {
  if (machine.state === "revoked" || latch.state === "revoked") return refuse("latch/revoked");
  if (machine.state === "locked" || latch.state === "locked") return refuse("machine/locked");
  return { release: true, pace: take(latch.pace, nowMs) };
}

function refuse(reason: RefusalReason): Decision {
  return { release: false, reason };
}
