import type { RepeatEntry } from "../audit/entry.ts";
import type { Service } from "./service.ts";

const INTERVAL_MS = 30_000;

/**
 * What is done now and then: counted refusals become entries, rested paces are forgotten, and a store that failed is tried again,
 * so that its health shows without waiting for somebody who needs it.
 * @returns ends it, and writes what was counted so far
 */
export function startHousekeeping(service: Service, report: (error: unknown) => void): () => Promise<void> {
  const timer = setInterval(() => void keepHouse(service).catch(report), INTERVAL_MS);
  return async () => {
    clearInterval(timer);
    await service.queue.idle();
    await writeRefusals(service, true).catch(report);
  };
}

async function keepHouse(service: Service): Promise<void> {
  service.paces.sweep(service.system.nowMs());
  if (service.queue.failure !== null) await probe(service);
  await writeRefusals(service, false);
}

async function probe(service: Service): Promise<void> {
  await service.queue.submit(async (transaction) => {
    await transaction.setTree(await transaction.tree());
    return { outcome: null, entries: [] };
  });
}

async function writeRefusals(service: Service, all: boolean): Promise<void> {
  const entries: RepeatEntry[] = service.refusals.close(service.system.nowMs(), all);
  if (entries.length === 0) return;
  try {
    await service.queue.submit(async () => ({ outcome: null, entries }));
  } catch (error) {
    service.refusals.restore(entries);
    throw error;
  }
}
