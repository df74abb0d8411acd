// @ts-nocheck
import { hasExpired } from "./expiry.ts";

/** What the policy `approval` asks for: docs/policy.md. */
export interface Approval {
  /** So many different operators must approve of one request. */
  readonly of: number;
  /** How long a request waits for them, in milliseconds. */
  readonly timeoutMs: number;
}

/** What a machine asks operators for: to be released to one address. */
export interface AskedRequest {
  /** `denied`: an operator has said no, which holds until it expires. */
  readonly state: "waiting" | "denied";
  /** User ids of the operators who have approved, each once. */
  readonly approvedBy: readonly number[];
  /** In milliseconds since the epoch. */
  readonly expiresMs: number;
}

/** What the server knows of the time: see TimeFacts of expiry.ts, of when the request was made. */
interface RequestTime {
  readonly nowMs: number;
  readonly latestMs: number;
}

/** How many other requests there are. */
export interface Crowd {
  /** Of the machine. */
  readonly ofMachine: number;
  /** Of the machine, from the network of whoever asks: an IPv4 address, or an IPv6 /64. */
  readonly ofNetwork: number;
  /** Of all machines, from around there: an IPv4 /24, or an IPv6 /48. */
  readonly around: number;
  /** Of all machines. */
  readonly all: number;
}

/** Nobody fills the queue of a machine, nor one place that of all: docs/decisions/118. */
const ROOM: Crowd = { ofMachine: 16, ofNetwork: 2, around: 1024, all: 4096 };

/** Why a machine that needs an approval is not released. */
export type ApprovalRefusal = "policy/waits" | "policy/denied" | "policy/crowded";

/**
 * Decides what becomes of a request for a key that no approved window covers: it waits with the
 * request that there is, is denied with it, begins a new one, or finds no room for one.
 * @param own the request of this machine from this address; null where there is none
 */
export function judgeRequest(
  own: (AskedRequest & Pick<RequestTime, "latestMs">) | null,
  crowd: Crowd,
  nowMs: number,
): ApprovalRefusal | "begins" {
  if (own !== null && !hasExpired(own.expiresMs, { nowMs, latestMs: own.latestMs }))
    return own.state === "denied" ? "policy/denied" : "policy/waits";
  const isFull = (Object.keys(ROOM) as (keyof Crowd)[]).some((part) => crowd[part] >= ROOM[part]);
  return isFull ? "policy/crowded" : "begins";
}

/** What an operator's approval does to a request. */
type VoteDecision = "opens" | "counts" | "voted-already" | "denied" | "expired";

/** Decides what the approval of one more operator does. Each operator counts once. */
export function judgeVote(
  request: AskedRequest,
  vote: { readonly by: number; readonly of: number },
  time: RequestTime,
): VoteDecision {
  if (hasExpired(request.expiresMs, time)) return "expired";
  if (request.state === "denied") return "denied";
  if (request.approvedBy.includes(vote.by)) return "voted-already";
  return new Set([...request.approvedBy, vote.by]).size >= vote.of ? "opens" : "counts";
}
