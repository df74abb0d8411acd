import { NightlatchError } from "../../../core/errors.ts";
import { MAX_TIMEOUT_MS, MIN_TIMEOUT_MS } from "../../policy/alive.ts";
import type { Policy } from "../../policy/lease.ts";
import { type LimitWords, limitsText, parseLimits, readLimits } from "../../policy/limits.ts";
import type { Approval } from "../../policy/request.ts";
import { areSameTerms, loosening, type Terms, type TermsSource } from "../../policy/terms.ts";
import type { Transaction } from "../../store/port.ts";
import type { MachineRow } from "../../store/rows.ts";
import { beginPulse, endPulse } from "../alive/alive.ts";
import type { Service } from "../service.ts";

/** What an operator wants to hold for machines. */
export interface WantedTerms {
  readonly policy: Policy;
  /** What the policy `approval` asks for; no matter of any other. */
  readonly approval?: Approval;
  /** For how long a machine may be silent; under `alive` alone. */
  readonly timeoutMs?: number;
  /** What is to bound releases; what is left out stays as it is. */
  readonly limits?: LimitWords;
}

/** What `approval` asks for where nothing else is said: one operator, within an hour. */
export const PLAIN_APPROVAL: Approval = { of: 1, timeoutMs: 3_600_000 };
const MAX_OPERATORS = 16;
const [MIN_WAIT_MS, MAX_WAIT_MS] = [300_000, 7 * 86_400_000];

/** What is released before anything is said: whatever asks. */
export const PLAIN_TERMS: Terms = { policy: "always", approval: null, timeoutMs: null, limits: null };

/**
 * What is wanted, whole.
 * @param limits those of before, as limitsText puts them, which hold where they are left out
 * @throws NightlatchError policy/bad-terms, alive/bad-time
 */
export function completeTerms(wanted: WantedTerms, limits: string | null): Terms {
  const { policy } = wanted;
  const approval = policy === "approval" ? (wanted.approval ?? PLAIN_APPROVAL) : null;
  const timeoutMs = policy === "alive" ? requireTimeout(wanted.timeoutMs) : null;
  if (approval !== null) requireApproval(approval);
  const bounds = parseLimits(wanted.limits ?? {}, readLimits(limits));
  if (bounds === null) throw badLimits();
  return { policy, approval, timeoutMs, limits: limitsText(bounds) };
}

/** What holds for a machine. */
export function termsOf({ policy, approval, alive, limits }: MachineRow): Terms {
  return { policy, approval, timeoutMs: alive?.timeoutMs ?? null, limits };
}

/** What the log says of terms. */
export function loggedTerms({ policy, approval, timeoutMs, limits }: Terms) {
  return {
    policy,
    ...(approval === null ? {} : { of: approval.of, timeout: approval.timeoutMs }),
    ...(timeoutMs === null ? {} : { timeout: timeoutMs }),
    ...(limits === null ? {} : { limits }),
  };
}

/**
 * Has terms hold for a machine, within the transaction of the change. Where they are others than
 * before, a lease that it has is void, and so is what operators were asked for. A machine that is
 * put under `alive` has to be alive: one whose heartbeats do not come would be locked.
 * @returns the machine as it is now; null where it was so already
 * @throws NightlatchError alive/not-heard
 */
export async function applyTerms(
  service: Service,
  transaction: Transaction,
  machine: MachineRow,
  { terms, source }: { readonly terms: Terms; readonly source: TermsSource },
): Promise<MachineRow | null> {
  const { id } = machine;
  if (areSameTerms(termsOf(machine), terms)) {
    if (machine.source === source) return null;
    await transaction.setSource(id, source);
    return { ...machine, source };
  }
  const { timeoutMs, ...said } = terms;
  if (timeoutMs !== null && machine.state === "active") requireHeard(service, machine, timeoutMs);
  await transaction.setPolicy(id, { ...said, source });
  const alive = timeoutMs === null ? null : await beginPulse(service, transaction, id, timeoutMs);
  if (alive === null) endPulse(service, id);
  return { ...machine, ...said, source, alive, lease: null, goneIn: null, goneFrom: null };
}

/**
 * Refuses what would release more than before, where that is not the operator's to say.
 * @param name of the machine or the group
 * @throws NightlatchError admin/denied
 */
export function requireTighter(name: string, from: Terms, to: Terms): void {
  const why = loosening(from, to);
  if (why === "limits") throw looserLimits(name, from);
  if (why === "operators") throw fewerOperators(name, from);
  if (why === "policy") throw mayNotLoosen(name);
}

function requireApproval({ of, timeoutMs }: Approval): void {
  if (isWithin(of, 1, MAX_OPERATORS) && isWithin(timeoutMs, MIN_WAIT_MS, MAX_WAIT_MS)) return;
  throw new NightlatchError(
    "policy/bad-terms",
    `an approval takes 1 to ${MAX_OPERATORS} operators, and waits for them for 5 minutes to 7 days`,
    { meaning: "Nothing was changed.", remedy: "Give values in between, such as --of 2 --timeout 1h." },
  );
}

function badLimits(): NightlatchError {
  return new NightlatchError("policy/bad-terms", "--from, --per-day or --hours is not what it should be", {
    meaning: "Nothing was changed.",
    remedy:
      "Give up to 16 networks (--from 192.0.2.0/24,2001:db8::/48), 1 to 100 releases of a latch (--per-day 4), the server's own time " +
      "(--hours 08:00-18:00), or any to have no such limit.",
  });
}

function requireTimeout(timeoutMs: number | undefined): number {
  if (timeoutMs !== undefined && isWithin(timeoutMs, MIN_TIMEOUT_MS, MAX_TIMEOUT_MS)) return timeoutMs;
  throw new NightlatchError("alive/bad-time", "a machine may be silent for at least 5 seconds and at most a day", {
    meaning: "Nothing was changed.",
    remedy: "Give a time in between, such as --timeout 5m.",
  });
}

/**
 * Who is put under `alive` and sends nothing would be locked within minutes, and noticed at its
 * next boot.
 */
function requireHeard({ pulses, system }: Service, { id, name }: MachineRow, timeoutMs: number): void {
  const number = pulses.find(id);
  if (number !== null && system.monotonicMs() - pulses.heardMs(number) < timeoutMs) return;
  throw new NightlatchError("alive/not-heard", `nothing was heard of the machine ${name} within that time`, {
    meaning: "Nothing was changed. It would be locked soon, and its passphrase alone would open it at its next boot.",
    remedy: `On ${name}: systemctl enable --now nightlatch-heartbeat. Then, when nightlatch machine show ${name} says that it was heard, repeat this.`,
  });
}

function looserLimits(name: string, { limits }: Terms): NightlatchError {
  return new NightlatchError("admin/denied", `having ${name} released beyond its limits (${limits}) is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: "Leave --from, --per-day and --hours off, and they stay as they are.",
  });
}

function fewerOperators(name: string, { approval }: Terms): NightlatchError {
  const many = approval?.of === 1 ? "an operator's approval" : `the approval of ${approval?.of} operators`;
  return new NightlatchError("admin/denied", `having ${name} released with less than ${many} is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: `Approve of the address that it asks from: nightlatch request approve ${name}@ADDRESS`,
  });
}

function mayNotLoosen(name: string): NightlatchError {
  return new NightlatchError("admin/denied", `having ${name} released in more cases than now is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: `Ask root of the key server, or open a window where its policy is lease: nightlatch machine lease ${name} 15m`,
  });
}

/** Whether a value is a whole number within bounds. */
export function isWithin(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}
