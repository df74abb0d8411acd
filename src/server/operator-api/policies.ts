import { isError, NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../formats/json/json.ts";
import { hasExactly } from "../../formats/json/narrow.ts";
import type { LimitWords } from "../policy/limits.ts";
import { type Governed, grantLease, setPolicy, type WantedPolicy } from "../service/policies/policies.ts";
import { PLAIN_APPROVAL } from "../service/policies/terms.ts";
import type { Service } from "../service/service.ts";
import type { Role } from "./roles.ts";

/** What an operator wants of a machine or a group, and who it is. */
export interface PolicyRequest {
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
  return setPolicy(service, machine, parsePolicy(request));
}

/** Reads what is to hold for a machine or a group. @throws NightlatchError request/malformed */
export function parsePolicy({ body, role, uid: by }: PolicyRequest): WantedPolicy {
  const { policy, of, timeoutMs, ...limits } = parseBody(
    body,
    ["policy"],
    ["of", "timeoutMs", "from", "perDay", "hours"],
  );
  const mayLoosen = role === "admin";
  if (!isWanted(of, policy === "approval") || !isWanted(timeoutMs, policy === "approval" || policy === "alive"))
    throw malformedRequest();
  if (!isWords(limits)) throw malformedRequest();
  if (policy === "inherit" && Object.keys(limits).length === 0) return { policy, by, mayLoosen };
  if (policy !== "always" && policy !== "alive" && policy !== "lease" && policy !== "approval")
    throw malformedRequest();
  if (policy === "alive") {
    if (timeoutMs === undefined) throw malformedRequest();
    return { policy, timeoutMs, limits, by, mayLoosen };
  }
  const approval = { of: of ?? PLAIN_APPROVAL.of, timeoutMs: timeoutMs ?? PLAIN_APPROVAL.timeoutMs };
  return { policy, approval, limits, by, mayLoosen };
}

/**
 * Does what `POST machines/{machine}/lease` asks for.
 * @throws NightlatchError request/malformed, machine/*, lease/*, store/*
 */
export async function openLease(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  const { lifetimeMs, graceMs } = parseBody(request.body, ["graceMs", "lifetimeMs"]);
  if (typeof lifetimeMs !== "number" || typeof graceMs !== "number") throw malformedRequest();
  return grantLease(service, machine, { lifetimeMs, graceMs, by: request.uid });
}

/** Whether a term of a policy is a number, where the policy has it, or absent. */
function isWanted(term: Json | undefined, belongs: boolean): term is number | undefined {
  return term === undefined || (belongs && typeof term === "number");
}

function isWords(words: JsonObject): words is JsonObject & LimitWords {
  return Object.values(words).every((word) => typeof word === "string");
}

/** Reads a request's members. @throws NightlatchError request/malformed */
export function parseBody<Name extends string, Optional extends string = never>(
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
  throw malformedRequest();
}

/** The error for a request that is none. */
export function malformedRequest(): NightlatchError {
  return new NightlatchError("request/malformed", "the request is not what the server expects here", {
    remedy: "The command and the server may be of different versions: restart the server after an upgrade.",
  });
}
