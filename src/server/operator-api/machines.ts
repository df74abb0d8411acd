import { json, type Reply } from "../http/reply.ts";
import { indexLog } from "../service/log/latest.ts";
import { findMachine } from "../service/policies/states.ts";
import { isPassing } from "../service/queue.ts";
import type { Service } from "../service/service.ts";
import type { Reads } from "../store/port.ts";
import type { LastRelease } from "../store/rows.ts";
import { inviteView, latchView, machineView, refusalView, releaseMs, releaseView } from "./views.ts";

/** Answers `GET machines` of docs/format/admin.md. @throws NightlatchError store/* */
export async function listMachines(service: Service): Promise<Reply> {
  const unread = await readUp(service);
  const nowMs = service.system.nowMs();
  return service.store.transact(async (transaction) => {
    const releases = lastByMachine(await transaction.lastReleases());
    const { times } = await transaction.tree();
    const machines = (await transaction.machines()).map((machine) => ({
      ...machineView(machine, { nowMs, times }, service.pulses.heardAtMs(machine.id)),
      lastRelease: releaseView(releases.get(machine.id) ?? null),
    }));
    const invites: unknown[] = [];
    for (const invite of await transaction.openInvites())
      invites.push({ ...inviteView(invite, { nowMs, times }), refused: await lastRefusal(transaction, invite.id) });
    return json(200, { machines, invites, unread });
  });
}

/**
 * The last release of each machine. A flood's end is written after releases that came later than
 * its last, so of a machine's latches the latest time counts.
 */
function lastByMachine(releases: readonly LastRelease[]): ReadonlyMap<string, Buffer> {
  const found = new Map<string, LastRelease>();
  for (const release of releases) {
    const earlier = found.get(release.machineId);
    if (earlier === undefined || releaseMs(earlier.body) <= releaseMs(release.body))
      found.set(release.machineId, release);
  }
  return new Map([...found].map(([machineId, { body }]) => [machineId, body]));
}

/** Answers `GET machines/{machine}`. @throws NightlatchError machine/unknown, store/* */
export async function showMachine(service: Service, nameOrId: string): Promise<Reply> {
  const unread = await readUp(service);
  return service.store.transact(async (transaction) => {
    const machine = await findMachine(transaction, nameOrId);
    const latches: unknown[] = [];
    const formers = await transaction.formers({ machine: machine.id });
    for (const latch of await transaction.latchesOf(machine.id)) {
      const released = await transaction.latest("release", latch.id);
      const lastRelease = releaseView(released?.body ?? null);
      latches.push({
        ...latchView(latch, formers),
        lastRelease,
        lastRefusal: await lastRefusal(transaction, latch.id),
      });
    }
    const time = { nowMs: service.system.nowMs(), times: (await transaction.tree()).times };
    const shown = {
      ...machineView(machine, time, service.pulses.heardAtMs(machine.id)),
      lastRefusal: await lastRefusal(transaction, machine.id),
    };
    return json(200, { machine: shown, latches, unread });
  });
}

/**
 * The last refusal about a subject; the machine that the log names beside it is called by its name.
 */
async function lastRefusal(transaction: Reads, subject: string): Promise<Record<string, unknown> | null> {
  const view = refusalView((await transaction.latest("refusal", subject))?.body ?? null);
  const machine = typeof view?.["machine"] === "string" ? await transaction.machine(view["machine"]) : null;
  return view === null ? null : { ...view, machine: machine?.name ?? null };
}

/**
 * How long an operator waits for the index. The log is read to its end every half minute anyway.
 */
const TIMEOUT_MS = 1_000;

/**
 * Reads the log into the index, and gives how many entries at its end are not read yet. On a full
 * disk what was known before is shown.
 */
async function readUp({ store, system }: Service): Promise<number> {
  try {
    return await indexLog({ store, system }, TIMEOUT_MS);
  } catch (error) {
    if (!isPassing(error)) throw error;
    return store.transact(async (transaction) => (await transaction.tree()).size - (await transaction.latestReach()));
  }
}
