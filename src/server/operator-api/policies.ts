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
  const { policy, of, timeoutMs, ...limits } = parseBody(
    request.body,
    ["policy"],
    ["of", "timeoutMs", "from", "perDay", "hours"],
  );
  if (policy !== "always" && policy !== "alive" && policy !== "lease" && policy !== "approval") throw malformed();
  if (!isWanted(of, policy === "approval") || !isWanted(timeoutMs, policy === "approval" || policy === "alive"))
    throw malformed();
  if (!isWords(limits)) throw malformed();
  const by = request.uid;
  const mayLoosen = request.role === "admin";
  const permit = (current: MachineRow, wanted: ReleaseLimits) =>
    requireAdmin(request.role, current, { policy, of, limits: wanted });
  if (policy === "alive") {
    if (timeoutMs === undefined) throw malformed();
    return setPolicy(service, machine, { policy, timeoutMs, limits, by, mayLoosen, permit });
  }
  const approval = { of: of ?? PLAIN_APPROVAL.of, timeoutMs: timeoutMs ?? PLAIN_APPROVAL.timeoutMs };
  return setPolicy(service, machine, { policy, approval, limits, by, mayLoosen, permit });
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

/** Whether a term of a policy is a number, where the policy has it, or absent. */
function isWanted(term: Json | undefined, belongs: boolean): term is number | undefined {
  return term === undefined || (belongs && typeof term === "number");
}

/**
 * What fewer operators open than before is the administrator's to say, and so are wider limits:
 * docs/decisions/117, 119.
 */
function requireAdmin(
  role: Role,
  current: MachineRow,
  wanted: { readonly policy: Policy; readonly of: number | undefined; readonly limits: ReleaseLimits },
): void {
  if (role === "admin") return;
  if (!areTighter(wanted.limits, readLimits(current.limits))) throw looserLimits(current);
  const of = wanted.policy === "approval" ? (wanted.of ?? PLAIN_APPROVAL.of) : 0;
  if (of < (current.approval?.of ?? 0)) throw fewerOperators(current);
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
