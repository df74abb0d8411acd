import { isError, NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, parseJson } from "../../formats/json/json.ts";
import { hasExactly } from "../../formats/json/narrow.ts";
import type { Policy } from "../policy/lease.ts";
import { type Governed, grantLease, setPolicy } from "../service/policies.ts";
import type { Service } from "../service/service.ts";
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
 * @throws NightlatchError request/malformed, admin/denied, machine/*, store/*
 */
export async function changePolicy(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  const { policy, timeoutMs = null } = parsePolicyBody(request.body);
  if (policy !== "always" && policy !== "alive" && policy !== "lease") throw malformed();
  if (policy === "alive" ? typeof timeoutMs !== "number" : timeoutMs !== null) throw malformed();
  requireRole(request.role, policy);
  const wanted: Parameters<typeof setPolicy>[2] = { policy, by: request.uid, mayLoosen: request.role === "admin" };
  return setPolicy(service, machine, typeof timeoutMs === "number" ? { ...wanted, timeoutMs } : wanted);
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
 * What is released at any time from now on is the administrator's to say:
 * docs/decisions/105-who-loosens-a-policy.md.
 */
function requireRole(role: Role, policy: Policy): void {
  if (role === "admin" || policy !== "always") return;
  throw new NightlatchError("admin/denied", "having a machine released at any time is root's to say", {
    meaning: "Nothing was changed.",
    remedy: "Open a window for it instead: nightlatch machine lease NAME 15m",
  });
}

/** A policy; with it, under `alive` alone, `timeoutMs`. */
function parsePolicyBody(body: Buffer): Readonly<Record<string, Json>> {
  try {
    return parseBody(body, ["policy"]);
  } catch {
    return parseBody(body, ["policy", "timeoutMs"]);
  }
}

function parseBody<Name extends string>(body: Buffer, members: readonly Name[]): Readonly<Record<Name, Json>> {
  try {
    const json = parseJson(body, "the request", { lengthBytes: MAX_BODY_BYTES, depth: 1 });
    if (isJsonObject(json) && hasExactly(json, members)) return json as Readonly<Record<Name, Json>>;
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
