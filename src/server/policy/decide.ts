import { type AliveRefusal, isAlive, type Pulse, released, returned } from "./alive.ts";
import { type Asking, judgeLease, type Lease, type LeaseUse, type Policy, type PolicyRefusal } from "./lease.ts";
import { countDay, type Day, judgePlace, type LimitRefusal, type ReleaseLimits } from "./limits.ts";
import { type Pace, take } from "./pace.ts";
import { type ApprovalRefusal, type AskedRequest, type Crowd, judgeRequest } from "./request.ts";
import { judgeSite, type Site, type SiteMember, type SiteRefusal } from "./site.ts";

/** The state of a machine or of a latch. `revoked` is final: the keys are destroyed. */
export type State = "active" | "locked" | "revoked";

/** What the policy knows of a machine. */
interface MachineFacts {
  readonly state: State;
  readonly policy: Policy;
  /** The window that is open for it, as far as the store knows; null where there is none. */
  readonly lease: Lease | null;
  /** What bounds its releases, whatever the policy; absent where nothing does. */
  readonly limits?: ReleaseLimits;
  /** Of the policy `approval` alone: what operators were asked for. */
  readonly queue?: Queue;
  /** Whether it is there, as far as the server knows; asked under `alive` alone. */
  readonly alive?: AliveFacts;
  /** Absent where its site is as ever, and it is too, or it is of none. */
  readonly site?: SiteFacts;
}

/** What the policy knows of a machine's site. */
interface SiteFacts extends SiteMember {
  /** Null: it is as ever. */
  readonly site: Site | null;
  /** The clock that nobody sets. */
  readonly monotonicMs: number;
}

/** The requests that operators were asked for, as whoever asks now finds them. */
export interface Queue {
  /** Of this machine and address, with the latest time in the log since; null: none. */
  readonly own: (AskedRequest & { readonly id: string; readonly latestMs: number }) | null;
  /** The others. */
  readonly crowd: Crowd;
}

/** Whether a machine is there. */
interface AliveFacts {
  /** Null where nothing is known. */
  readonly pulse: Pulse | null;
  /** The clock that nobody sets, which the pulse is by. */
  readonly monotonicMs: number;
}

/** What the policy knows of a latch. */
interface LatchFacts {
  readonly state: State;
  /** How often the latch was released of late. */
  readonly pace: Pace;
  /** Its first release within the last lease that it was released in; null where there is none. */
  readonly use: LeaseUse | null;
  /** Its releases that were counted last, where its machine's are limited; null where none was. */
  readonly day?: Day | null;
}

/** Why nothing is released. */
export type RefusalReason =
  | "latch/revoked"
  | "machine/locked"
  | AliveRefusal
  | PolicyRefusal
  | ApprovalRefusal
  | LimitRefusal
  | SiteRefusal;

/** What the policy decides. */
type Decision =
  | {
      readonly release: true;
      /**
       * The latch's pace from now on; null where it is asked too often for a receipt of each
       * release.
       */
      readonly pace: Pace | null;
      /**
       * Set where this is the latch's first release within its lease. It must be durable with the
       * receipt, which is one of its own whatever the pace.
       */
      readonly use: LeaseUse | null;
      /**
       * Set where this gives a machine under `alive` the time of a boot. It must be durable with
       * the receipt, which is one of its own.
       */
      readonly pulse?: Pulse;
      /**
       * Set where the machine is let in by this window of its site. It must be durable with the
       * receipt, which is one of its own.
       */
      readonly enters?: number;
      /** Set where releases are counted. It is durable with a receipt of its own, as a use is. */
      readonly day?: Day;
    }
  | {
      readonly release: false;
      readonly reason: RefusalReason;
      /** Operators are to be asked from now on. */
      readonly begins?: true;
    };

/**
 * Decides whether a recovery request is answered, once its key and its point were found to be in
 * order. It is pure: the caller makes the decision durable. The final state is told before the
 * passing one, so that a client learns that waiting is of no use. Nobody is refused for asking
 * often: others can ask in a machine's place, and would keep it out.
 */
export function decide(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  if (machine.state === "revoked" || latch.state === "revoked") return refuse("latch/revoked");
  if (machine.state === "locked" || latch.state === "locked") return refuse("machine/locked");
  const { limits } = machine;
  if (limits === undefined) return decideBySite(machine, latch, asking);
  const beyond = judgePlace(limits, asking.from, asking.minute ?? 0);
  if (beyond !== null) return refuse(beyond);
  const decision = decideBySite(machine, latch, asking);
  // What is answered again was counted when it was answered first.
  const isCounted =
    decision.release && (machine.policy === "always" || machine.policy === "alive" || decision.use !== null);
  if (!isCounted || limits.perDay === null) return decision;
  const day = countDay(latch.day ?? null, limits.perDay, asking.nowMs);
  return day === null ? refuse("policy/day-used") : { ...decision, day };
}

/** Lets a machine's policy decide, where its site does not stand in the way. */
function decideBySite(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  if (machine.site === undefined) return decideByPolicy(machine, latch, asking);
  const judged = judgeSite(machine.site.site, machine.site, machine.site.monotonicMs);
  if (typeof judged === "object") {
    const decision = judged.returns
      ? decideReturn(machine.alive, take(latch.pace, asking.nowMs))
      : decideByPolicy(machine, latch, asking);
    return decision.release ? { ...decision, enters: judged.enters } : decision;
  }
  if (judged !== "as-ever" && judged !== "waits") return refuse(judged);
  const decision = decideByPolicy(machine, latch, asking);
  return decision.release && judged === "waits" ? refuse("policy/site-full") : decision;
}

/** A machine of which nobody has told whether it is there. */
const UNTOLD: AliveFacts = { pulse: null, monotonicMs: 0 };

/** A machine that fell silent with its site comes back with it, as if a person had unlocked it. */
function decideReturn({ pulse, monotonicMs }: AliveFacts = UNTOLD, pace: Pace | null): Decision {
  if (pulse === null) return refuse("policy/not-alive");
  return { release: true, pace, use: null, pulse: returned(pulse.timeoutMs, monotonicMs) };
}

function decideByPolicy(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  const pace = take(latch.pace, asking.nowMs);
  if (machine.policy === "always") return { release: true, pace, use: null };
  if (machine.policy === "alive") return decideAlive(machine.alive, pace);
  const isApproval = machine.policy === "approval";
  // What nobody was asked for, nobody has approved: a window for any address is none here.
  const judged = judgeLease(isApproval && machine.lease?.to === null ? null : machine.lease, latch.use, asking);
  if (typeof judged === "object") return { release: true, pace, use: judged };
  if (judged === "again") return { release: true, pace, use: null };
  return isApproval ? askOperators(machine.queue, asking) : refuse(judged);
}

/** What is not approved asks for it. */
function askOperators(queue: Queue | undefined, { nowMs }: Asking): Decision {
  if (queue === undefined) return refuse("policy/crowded");
  const judged = judgeRequest(queue.own, queue.crowd, nowMs);
  return judged === "begins" ? { release: false, reason: "policy/waits", begins: true } : refuse(judged);
}

function decideAlive({ pulse, monotonicMs }: AliveFacts = UNTOLD, pace: Pace | null): Decision {
  if (pulse === null || !isAlive(pulse, monotonicMs)) return refuse("policy/not-alive");
  const extended = released(pulse, monotonicMs);
  return { release: true, pace, use: null, ...(extended === null ? {} : { pulse: extended }) };
}

function refuse(reason: RefusalReason): Decision {
  return { release: false, reason };
}
