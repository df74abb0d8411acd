import { isError, NightlatchError } from "../../core/errors.ts";
import { type JsonObject, parseJson } from "../../formats/json/json.ts";
import { identityThumbprint } from "../../formats/own/enrolment.ts";
import type { Answers } from "../http/answers.ts";
import { json, type Reply } from "../http/reply.ts";
import { invite, uninvite } from "../service/latches/invite.ts";
import { finishRotation, rotateMachine, type Turned } from "../service/latches/rotation.ts";
import type { Grouped } from "../service/policies/groups.ts";
import type { Governed } from "../service/policies/policies.ts";
import {
  type Changed,
  type ChangeRequest,
  changeLatch,
  changeMachine,
  type StateChange,
} from "../service/policies/states.ts";
import type { Service } from "../service/service.ts";
import type { MasterSource } from "../store/folder/upgrade.ts";
import { showAudit } from "./audit.ts";
import {
  dropGroup,
  governGroup,
  holdGroup,
  joinGroup,
  leaveGroup,
  listGroups,
  makeGroup,
  releaseGroup,
  showGroup,
} from "./groups.ts";
import { listMachines, showMachine } from "./machines.ts";
import { changePolicy, openLease } from "./policies.ts";
import { listRequests, takeVote } from "./requests.ts";
import type { Role } from "./roles.ts";
import { showTail } from "./tail.ts";
import { groupView, isoTime, latchView, machineView } from "./views.ts";
import { administerWitnesses } from "./witnesses.ts";

/** A request that came over the admin socket. */
interface AdminRequest {
  readonly method: string;
  /** Decoded, without the query. */
  readonly segments: readonly string[];
  readonly body: Buffer;
  readonly role: Role;
  /** The operator's user id. */
  readonly uid: number;
}

/** What answering an operator takes. */
export interface AdminContext {
  readonly service: Service;
  readonly answers: Answers;
  readonly masterSource: MasterSource;
  /** The address that invites carry; empty until the server listens. */
  readonly url: () => string;
}

/**
 * Answers an operator's request: docs/format/admin.md.
 * @throws NightlatchError the codes that the page lists
 */
export async function administer(context: AdminContext, request: AdminRequest): Promise<Reply> {
  const [collection, id, verb] = request.segments;
  const { method } = request;
  if (method === "GET" && collection === "status" && id === undefined) return showStatus(context);
  if (method === "GET" && collection === "machines" && id === undefined) return listMachines(context.service);
  if (method === "GET" && collection === "machines" && id !== undefined && verb === undefined)
    return showMachine(context.service, id);
  if (method === "POST" && collection === "invites" && id === undefined) return makeInvite(context, request);
  if (
    method === "POST" &&
    collection === "invites" &&
    id !== undefined &&
    verb === "void" &&
    request.segments.length === 3
  )
    return voidInvite(context, id, request);
  if (method === "GET" && collection === "requests" && id === undefined) return listRequests(context.service);
  if (method === "POST" && collection === "requests" && id !== undefined && request.segments.length === 3) {
    if (verb === "approve" || verb === "deny") return takeVote(context.service, id, { verb, by: request.uid });
  }
  if (method === "GET" && collection === "audit" && (id === "tail" || id === "after"))
    return showTail(context.service.store, request.segments.slice(1));
  if (method === "GET" && collection === "audit")
    return showAudit(context.service.store.audit, request.segments.slice(1));
  if (method === "POST" && collection === "machines" && id !== undefined && request.segments.length === 3) {
    if (verb === "policy") return acknowledgePolicy(context, await changePolicy(context.service, id, request));
    if (verb === "rotate") return acknowledge(context, await rotateMachine(context.service, id, { by: request.uid }));
    if (verb === "finish") {
      requireFinisher(request.role);
      return acknowledge(context, await finishRotation(context.service, id, { by: request.uid }));
    }
    if (verb === "join") return acknowledgePolicy(context, await joinGroup(context.service, id, request));
    if (verb === "leave") return acknowledgePolicy(context, await leaveGroup(context.service, id, request));
    if (verb === "lease") return acknowledgePolicy(context, await openLease(context.service, id, request));
  }
  if (collection === "groups") {
    const { service } = context;
    if (method === "GET" && id === undefined) return listGroups(service);
    if (method === "GET" && id !== undefined && verb === undefined) return showGroup(service, id);
    if (method === "POST" && id === undefined) return acknowledgeGroup(context, await makeGroup(service, request));
    if (method === "POST" && id !== undefined && request.segments.length === 3) {
      if (verb === "policy") return acknowledgeGroup(context, await governGroup(service, id, request));
      if (verb === "hold") return acknowledgeGroup(context, await holdGroup(service, id, request));
      if (verb === "release") return acknowledgeGroup(context, await releaseGroup(service, id, request));
      if (verb === "remove") return acknowledgeGroup(context, await dropGroup(service, id, request));
    }
  }
  if (collection === "witnesses") {
    const reply = await administerWitnesses(context.service, request);
    if (reply !== null) return reply;
  }
  if (method === "POST" && id !== undefined && isChange(verb) && request.segments.length === 3) {
    const wanted: ChangeRequest = { by: request.uid, change: verb };
    requireRole(request.role, verb);
    if (collection === "machines") return acknowledge(context, await changeMachine(context.service, id, wanted));
    if (collection === "latches") return acknowledge(context, await changeLatch(context.service, id, wanted));
  }
  throw new NightlatchError("admin/unknown-request", "the server does not know this request", {
    remedy: "The command and the server may be of different versions: restart the server after an upgrade.",
  });
}

/** An operator may stop releases at once. What cannot be undone is the administrator's. */
function requireRole(role: Role, change: StateChange): void {
  if (role === "admin" || change !== "revoke") return;
  throw new NightlatchError("admin/denied", "revoking destroys keys and is root's", {
    meaning: "Nothing was changed.",
    remedy: "Lock the machine, which stops every release as well: nightlatch machine lock NAME",
  });
}

/** What is bound to the former keys alone opens by them no more. */
function requireFinisher(role: Role): void {
  if (role === "admin") return;
  throw new NightlatchError("admin/denied", "ending a rotation destroys keys and is root's", {
    meaning: "Nothing was changed.",
    remedy:
      "The machine ends it by itself once it has come up by its new binding: nightlatch rotate --unattended there.",
  });
}

async function showStatus({ service, masterSource, url }: AdminContext): Promise<Reply> {
  const [size, machines] = await service.store.transact(async (transaction) => [
    (await transaction.tree()).size,
    (await transaction.machines()).length,
  ]);
  return json(200, {
    store: service.storeId,
    identity: identityThumbprint(service.identity),
    url: url(),
    master: masterSource,
    exchange: service.exchange.name,
    machines,
    entries: size,
    failure: service.queue.failure,
  });
}

async function makeInvite({ service, url }: AdminContext, request: AdminRequest): Promise<Reply> {
  const wanted = parseInviteRequest(request.body);
  const { name } = wanted;
  const mayLoosen = request.role === "admin";
  const made = await invite(service, { ...wanted, url: url(), by: request.uid, mayLoosen });
  const { line, id, replaced } = made;
  return json(200, { invite: line, id, name, expires: isoTime(made.expiresMs), replaced, url: url() });
}

async function voidInvite({ service }: AdminContext, name: string, request: AdminRequest): Promise<Reply> {
  const { id, createdMs, expiresMs } = await uninvite(service, { name, by: request.uid });
  return json(200, { id, name, created: isoTime(createdMs), expires: isoTime(expiresMs) });
}

/** Answers a change, and not before every answer that was given earlier has left. */
async function acknowledge(
  { service, answers }: AdminContext,
  changed: Changed & Partial<Pick<Turned, "formers">>,
): Promise<Reply> {
  await answers.settle();
  return json(200, {
    changed: changed.changed,
    machine: machineView(changed.machine, { nowMs: service.system.nowMs(), times: [] }),
    latches: changed.latches.map((latch) => latchView(latch, changed.formers)),
    destroyed: changed.destroyed,
    scrubbed: changed.scrubbed,
    recorded: changed.recorded,
  });
}

/** The same of a policy or a lease. */
async function acknowledgePolicy({ service, answers }: AdminContext, done: Governed): Promise<Reply> {
  await answers.settle();
  const { changed, machine, recorded } = done;
  return json(200, { changed, machine: machineView(machine, { nowMs: service.system.nowMs(), times: [] }), recorded });
}

/** The same of a group. */
async function acknowledgeGroup({ answers }: AdminContext, done: Grouped): Promise<Reply> {
  await answers.settle();
  const { changed, group, recorded } = done;
  return json(200, { changed, group: groupView(group, done), recorded });
}

const MAX_BODY_BYTES = 4096;

function parseInviteRequest(body: Buffer): {
  readonly name: string;
  readonly lifetimeMs: number;
  readonly group?: string;
} {
  try {
    const { name, lifetimeMs, group, ...others } = parseJson(body, "the request", {
      lengthBytes: MAX_BODY_BYTES,
      depth: 1,
    }) as JsonObject;
    const isWhole = typeof name === "string" && typeof lifetimeMs === "number" && Object.keys(others).length === 0;
    if (isWhole && group === undefined) return { name, lifetimeMs };
    if (isWhole && typeof group === "string") return { name, lifetimeMs, group };
  } catch (error) {
    if (!(error instanceof TypeError) && !isError(error)) throw error;
  }
  throw new NightlatchError("request/malformed", "the request is not one for an invite");
}

function isChange(verb: string | undefined): verb is StateChange {
  return verb === "lock" || verb === "unlock" || verb === "revoke";
}
