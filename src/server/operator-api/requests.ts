import { latestSince } from "../audit/times.ts";
import { json, type Reply } from "../http/reply.ts";
import { hasExpired } from "../policy/expiry.ts";
import { type Vote, vote } from "../service/policies/requests.ts";
import type { Service } from "../service/service.ts";
import type { MachineRow, RequestRow } from "../store/rows.ts";
import { isoTime, machineView } from "./views.ts";

/** Answers `GET requests` of docs/format/admin.md. @throws NightlatchError store/* */
export async function listRequests(service: Service): Promise<Reply> {
  return service.store.transact(async (transaction) => {
    const nowMs = service.system.nowMs();
    const { times } = await transaction.tree();
    const requests: unknown[] = [];
    for (const request of await transaction.requests()) {
      if (hasExpired(request.expiresMs, { nowMs, latestMs: latestSince(times, request.madeAt) })) continue;
      const machine = await transaction.machine(request.machineId);
      if (machine !== null) requests.push(requestView(service, request, machine));
    }
    return json(200, { requests });
  });
}

/**
 * Does what `POST requests/{id}/approve` or `deny` asks for.
 * @throws NightlatchError request/unknown, request/denied, machine/unknown, store/*
 */
export async function takeVote(service: Service, named: string, wanted: Vote): Promise<Reply> {
  const { changed, request, machine, opened, recorded } = await vote(service, named, wanted);
  return json(200, {
    changed,
    request: requestView(service, request, machine),
    opened,
    machine: machineView(machine, { nowMs: service.system.nowMs(), times: [] }),
    recorded,
  });
}

/** A request as docs/format/admin.md shows it. */
function requestView(service: Service, request: RequestRow, machine: MachineRow): Record<string, unknown> {
  const { id, from, state, approvedBy, createdMs, expiresMs, by } = request;
  const asked = service.asks.of(id);
  return {
    id,
    machine: machine.name,
    from,
    state,
    of: machine.approval?.of ?? null,
    approvedBy,
    created: isoTime(createdMs),
    expires: isoTime(expiresMs),
    by,
    asked: asked?.count ?? 0,
    lastAsked: asked === null ? null : isoTime(asked.lastMs),
  };
}
