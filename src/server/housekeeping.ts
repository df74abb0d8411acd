import { every } from "./clock.ts";
import { saveHeard } from "./service/alive/alive.ts";
import { saveDays } from "./service/days.ts";
import { expireInvites } from "./service/latches/invite.ts";
import { endPastLeases } from "./service/leases.ts";
import { indexLog } from "./service/log/latest.ts";
import { keepLogNodes } from "./service/log/nodes.ts";
import { expireRequests } from "./service/policies/requests.ts";
import type { Service } from "./service/service.ts";

const INTERVAL_MS = 30_000;

/**
 * Does now and then what keeps the store in order:
 *
 * - counts become entries, and rested paces are forgotten;
 * - how far the log has come is recorded beside the store;
 * - the log's latest entries are found, and subtrees of it are kept for proofs;
 * - invites that nobody used in time become void and lose their keys, leases end, and requests for
 *   an approval expire;
 * - when machines were last heard is written, and what was counted of latches' releases;
 * - room is held back on the disk;
 * - bytes of destroyed keys that a reader kept from being overwritten are overwritten;
 * - a store that failed is tried again, so that its health shows without waiting for somebody who
 *   needs it.
 *
 * @returns what ends it, and writes what was counted so far
 */
export function startHousekeeping(service: Service, report: (error: unknown) => void): () => Promise<void> {
  const rounds = every(service.system, INTERVAL_MS, () => void keepHouse(service).catch(report));
  return async () => {
    rounds[Symbol.dispose]();
    await service.queue.idle();
    await writeCounts(service, true).catch(report);
    await saveHeard(service, true).catch(report);
    await saveDays(service).catch(report);
  };
}

/** Does one round of it. @throws NightlatchError store/*, file/* */
export async function keepHouse(service: Service): Promise<void> {
  service.paces.sweep(service.system.nowMs());
  if (service.queue.failure !== null) await probe(service);
  await expireInvites(service);
  await endPastLeases(service);
  await expireRequests(service);
  await saveHeard(service, false);
  if (service.store.needsScrub) await service.store.scrub();
  await writeCounts(service, false);
  await service.store.recordProgress();
  await service.store.holdRoom();
  await indexLog(service);
  await keepLogNodes(service);
  await saveDays(service); // last: a full disk that refuses it keeps nothing else waiting
}

async function probe(service: Service): Promise<void> {
  await service.queue.submit(async (transaction) => {
    await transaction.setTree(await transaction.tree());
    return { outcome: null, entries: [], wrote: true };
  });
}

async function writeCounts(service: Service, all: boolean): Promise<void> {
  await service.queue.submit(async () => {
    const nowMs = service.system.nowMs();
    const entries = [...service.refusals.close(nowMs, all), ...service.floods.close(nowMs, all)];
    return { outcome: null, entries };
  });
}
