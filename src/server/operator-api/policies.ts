import { isError, NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../formats/json/json.ts";
import { hasExactly } from "../../formats/json/narrow.ts";
import type { Policy } from "../policy/lease.ts";
import { areTighter, type LimitWords, type ReleaseLimits, readLimits } from "../policy/limits.ts";
import { type Governed, grantLease, PLAIN_APPROVAL, setPolicy } from "../service/policies.ts";
import type { Service } from "../service/service.ts";
import type { MachineRow } from "../store/port.ts";
import type { Role } from "./roles.ts";

/** What an operator wants of a machine's policy, and who it is. */
interface PolicyRequest {
  readonly body: Buffer;
  readonly role: Role;
  readonly uid: number;
}

const MAX_BODY_BYTES = 4096;

/**
 * Does what `POST machines/{machine}/policy` of docs/format/admin.md asks for.
 * @throws NightlatchError request/malformed, admin/denied, machine/*, policy/bad-terms, store/*
 */
export async function changePolicy(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  const {
    policy,
    of = PLAIN_APPROVAL.of,
    timeoutMs = PLAIN_APPROVAL.timeoutMs,
    ...words
  } = parseBody(request.body, ["policy"], ["of", "timeoutMs", "from", "perDay", "hours"]);
  if (policy !== "always" && policy !== "lease" && policy !== "approval") throw malformed();
  if (typeof of !== "number" || typeof timeoutMs !== "number") throw malformed();
  if (!isWords(words)) throw malformed();
  const permit = (current: MachineRow, limits: ReleaseLimits) =>
    requireRole(request.role, current, { policy, of, limits });
  return setPolicy(service, machine, { policy, approval: { of, timeoutMs }, limits: words, by: request.uid, permit });
}

/**
 * Does what `POST machines/{machine}/lease` asks for.
 * @throws NightlatchError request/malformed, machine/*, lease/*, store/*
 */
export async function openLease(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  const { lifetimeMs, graceMs } = parseBody(request.body, ["graceMs", "lifetimeMs"]);
  if (typeof lifetimeMs !== "number" || typeof graceMs !== "number") throw malformed();
  return grantLease(service, machine, { lifetimeMs, graceMs, by: request.uid });
}

/**
 * What is released at any time from now on is the administrator's to say, and so is what fewer
 * operators open than before: docs/decisions/105-who-loosens-a-policy.md, 117.
 */
function requireRole(
  role: Role,
  current: MachineRow,
  wanted: { readonly policy: Policy; readonly of: number; readonly limits: ReleaseLimits },
): void {
  if (role === "admin") return;
  if (!areTighter(wanted.limits, readLimits(current.limits))) throw looserLimits(current);
  const of = wanted.policy === "approval" ? wanted.of : 0;
  if (of < (current.approval?.of ?? 0)) throw fewerOperators(current);
  if (wanted.policy !== "always") return;
  throw new NightlatchError("admin/denied", "having a machine released at any time is root's to say", {
    meaning: "Nothing was changed.",
    remedy: "Open a window for it instead: nightlatch machine lease NAME 15m",
  });
}

function isWords(words: JsonObject): words is JsonObject & LimitWords {
  return Object.values(words).every((word) => typeof word === "string");
}

function looserLimits({ name, limits }: MachineRow): NightlatchError {
  return new NightlatchError("admin/denied", `having ${name} released beyond its limits (${limits}) is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: "Leave --from, --per-day and --hours off, and they stay as they are.",
  });
}

function fewerOperators({ name, approval }: MachineRow): NightlatchError {
  const many = approval?.of === 1 ? "an operator's approval" : `the approval of ${approval?.of} operators`;
  return new NightlatchError("admin/denied", `having ${name} released with less than ${many} is root's to say`, {
    meaning: "Nothing was changed.",
    remedy: `Approve of the address that it asks from: nightlatch request approve ${name}@ADDRESS`,
  });
}

function parseBody<Name extends string, Optional extends string = never>(
  body: Buffer,
  members: readonly Name[],
  optional: readonly Optional[] = [],
): Readonly<Record<Name, Json> & Partial<Record<Optional, Json>>> {
  try {
    const json = parseJson(body, "the request", { lengthBytes: MAX_BODY_BYTES, depth: 1 });
    if (isJsonObject(json) && hasExactly(json, [...members, ...optional.filter((name) => name in json)]))
      return json as ReturnType<typeof parseBody<Name, Optional>>;
  } catch (error) {
    if (!isError(error)) throw error;
  }
  throw malformed();
}

function malformed(): NightlatchError {
  return new NightlatchError("request/malformed", "the request is none for a policy or a lease", {
    remedy: "The command and the server may be of different versions: restart the server after an upgrade.",
  });
}
