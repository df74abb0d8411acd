import { json, type Reply } from "../http/reply.ts";
import {
  addGroup,
  findGroup,
  type Grouped,
  moveMachine,
  removeGroup,
  setGroupPolicy,
} from "../service/policies/groups.ts";
import type { Governed } from "../service/policies/policies.ts";
import { holdSite, releaseSite } from "../service/policies/site-orders.ts";
import type { Service } from "../service/service.ts";
import { malformedRequest, type PolicyRequest, parseBody, parsePolicy } from "./policies.ts";
import { groupView, machineView } from "./views.ts";

/** Answers `GET groups` of docs/format/admin.md. @throws NightlatchError store/* */
export async function listGroups(service: Service): Promise<Reply> {
  return service.store.transact(async (transaction) => {
    const groups: unknown[] = [];
    for (const group of await transaction.groups())
      groups.push(groupView(group, await transaction.countIn(group.name)));
    return json(200, { groups });
  });
}

/** Answers `GET groups/{group}`. @throws NightlatchError group/unknown, store/* */
export async function showGroup(service: Service, name: string): Promise<Reply> {
  return service.store.transact(async (transaction) => {
    const group = await findGroup(transaction, name);
    const machines = await transaction.machinesIn(name);
    const time = { nowMs: service.system.nowMs(), times: (await transaction.tree()).times };
    const shown = machines.map((machine) => machineView(machine, time, service.pulses.heardAtMs(machine.id)));
    return json(200, { group: groupView(group, await transaction.countIn(name)), machines: shown });
  });
}

/** Does what `POST groups` asks for. @throws NightlatchError request/malformed, group/*, store/* */
export async function makeGroup(service: Service, request: PolicyRequest): Promise<Grouped> {
  const { name } = parseBody(request.body, ["name"]);
  if (typeof name !== "string") throw malformedRequest();
  return addGroup(service, name, { by: request.uid });
}

/** Does what `POST groups/{group}/remove` asks for. @throws NightlatchError group/*, store/* */
export async function dropGroup(service: Service, name: string, request: PolicyRequest): Promise<Grouped> {
  return removeGroup(service, name, { by: request.uid });
}

/**
 * Does what `POST groups/{group}/policy` asks for.
 * @throws NightlatchError request/malformed, admin/denied, group/*, alive/*, policy/bad-terms,
 *   store/*
 */
export async function governGroup(service: Service, name: string, request: PolicyRequest): Promise<Grouped> {
  return setGroupPolicy(service, name, parsePolicy(request));
}

/** Does what `POST groups/{group}/hold` asks for. @throws NightlatchError group/*, store/* */
export async function holdGroup(service: Service, name: string, request: PolicyRequest): Promise<Grouped> {
  return holdSite(service, name, { by: request.uid });
}

/**
 * Does what `POST groups/{group}/release` asks for.
 * @throws NightlatchError request/malformed, group/*, site/*, store/*
 */
export async function releaseGroup(service: Service, name: string, request: PolicyRequest): Promise<Grouped> {
  const { count, perMs, openMs } = parseBody(request.body, ["count", "perMs", "openMs"]);
  if (typeof count !== "number" || typeof perMs !== "number" || typeof openMs !== "number") throw malformedRequest();
  return releaseSite(service, name, { rate: { count, perMs }, openMs, by: request.uid });
}

/**
 * Does what `POST machines/{machine}/join` asks for.
 * @throws NightlatchError request/malformed, admin/denied, machine/*, group/*, alive/*, store/*
 */
export async function joinGroup(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  const { group } = parseBody(request.body, ["group"]);
  if (typeof group !== "string") throw malformedRequest();
  return moveMachine(service, machine, group, { by: request.uid, mayLoosen: request.role === "admin" });
}

/**
 * Does what `POST machines/{machine}/leave` asks for.
 * @throws NightlatchError admin/denied, machine/*, alive/*, store/*
 */
export async function leaveGroup(service: Service, machine: string, request: PolicyRequest): Promise<Governed> {
  return moveMachine(service, machine, null, { by: request.uid, mayLoosen: request.role === "admin" });
}
