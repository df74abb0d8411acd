import type { Entry } from "../../audit/entry.ts";
import { latestSince } from "../../audit/times.ts";
import { every } from "../../clock.ts";
import { begun, forgiven, isOverdue, type Pulse, resumed, stored } from "../../policy/alive.ts";
import type { Transaction } from "../../store/port.ts";
import type { AliveRow, MachineRow } from "../../store/rows.ts";
import { insist } from "../insist.ts";
import type { SiteNotice } from "../memory/notices.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { goWithSite, type Members, membersOf } from "./silence.ts";
import { holdMissed } from "./site-holds.ts";

/** How often it is looked for machines that are gone. */
const LOOK_MS = 1_000;
/** A server that did not look for so long was held up, and so has not listened either. */
const HELD_UP_MS = 3 * LOOK_MS;
/** So many machines are locked in one transaction at most. */
const LOCKED_AT_ONCE = 128;
/** So many are written in one transaction when they were heard, and in one round. */
const SAVED_AT_ONCE = 256;
const SAVED_IN_A_ROUND = 20_000;

/**
 * Takes up, at a start, what is known of the machines under `alive`. Nobody may be heard or
 * released before.
 * @throws NightlatchError store/*
 */
export async function resumePulses(service: Service): Promise<void> {
  const { store, system, pulses } = service;
  const monotonicMs = system.monotonicMs();
  const { times } = await store.transact((transaction) => transaction.tree());
  for (let last = 0; ; ) {
    const page = await store.transact((transaction) => transaction.machinesUnderAlive(last));
    for (const { id, state, alive, goneIn } of page) {
      const number = pulses.add(id);
      pulses.setLocked(number, state !== "active");
      pulses.setGone(number, goneIn !== null);
      if (alive === null) continue;
      const latestMs = latestSince(times, alive.madeAt);
      const pulse = resumed(alive, { nowMs: system.nowMs(), latestMs, monotonicMs });
      // What was gone before falls silent with nobody who does now.
      pulses.setPulse(number, goneIn === null ? pulse : { ...pulse, dueMs: Number.NEGATIVE_INFINITY });
    }
    const end = page.at(-1);
    if (end === undefined) break;
    last = end.place;
  }
  pulses.listenedMs = monotonicMs;
}

/**
 * The server listens now. Where it was held up before (its machine was suspended, its process
 * stopped), machines have their timeout once more to be heard in: none is locked for the server's
 * own silence. Nor is any released by it.
 */
export function listen({ pulses, sites }: Pick<Service, "pulses" | "sites">, monotonicMs: number): void {
  const isHeldUp = monotonicMs - pulses.listenedMs > HELD_UP_MS;
  pulses.listenedMs = monotonicMs;
  if (!isHeldUp) return;
  pulses.changeAll((pulse) => forgiven(pulse, monotonicMs));
  sites.missOver(monotonicMs);
}

/** Looks every second for machines that are gone. @returns what ends it */
export function watchPulses(service: Service, report: (error: unknown) => void): () => Promise<void> {
  let looking: Promise<void> | null = null;
  const look = () => {
    listen(service, service.system.monotonicMs());
    looking ??= lockGone(service)
      .then(() => endSiteWindows(service))
      .catch(report)
      .finally(() => {
        looking = null;
      });
  };
  const rounds = every(service.system, LOOK_MS, look);
  return async () => {
    rounds[Symbol.dispose]();
    await looking;
  };
}

/**
 * Locks the machines that were silent for too long: durably, with an entry each, on a full disk
 * too. They stay locked until a person unlocks them. Those that fell silent with others of their
 * site are not locked: the site is held.
 * @throws NightlatchError store/*
 */
export async function lockGone(service: Service): Promise<void> {
  for (;;) {
    const due = service.pulses.due(service.system.monotonicMs(), LOCKED_AT_ONCE);
    if (due.length === 0) return;
    const operation = async (transaction: Transaction) => {
      const entries: Entry[] = [];
      const [found, notices]: [MachineRow[], SiteNotice[]] = [[], []];
      const sites = new Map<string, Members>();
      for (const number of due) {
        const machine = await transaction.machine(service.pulses.idOf(number));
        if (machine?.policy !== "alive") service.pulses.setPulse(number, null);
        if (machine === null) continue;
        if (!isToLock(service, machine, number)) found.push(machine);
        else {
          const members = await membersOf(service, transaction, machine.group, sites);
          const gone = await goWithSite(service, transaction, machine, { number, members });
          const locked = gone === null ? await lock(service, transaction, machine, number) : null;
          found.push(gone?.machine ?? locked?.machine ?? machine);
          entries.push(...(gone?.entries ?? []), ...(locked === null ? [] : [locked.entry]));
          notices.push(...(gone?.notices ?? []));
        }
      }
      return { outcome: { found, notices }, entries };
    };
    const done = await insist(service, { subject: async () => null, stops: false }, operation);
    for (const machine of done.found) adoptState(service, machine);
    for (const notice of done.notices) service.notices.tell(notice);
    await service.store.recordProgress();
    await service.store.holdRoom();
    if (due.length < LOCKED_AT_ONCE) return;
  }
}

/**
 * Ends the windows of sites that are over. What fell silent with such a site and did not come back
 * in time is locked then, as if it had gone alone.
 * @throws NightlatchError store/*
 */
export async function endSiteWindows(service: Service): Promise<void> {
  await holdMissed(service);
  for (const group of service.sites.over(service.system.monotonicMs())) {
    const operation = async (transaction: Transaction): Promise<Recorded<MachineRow[] | null>> => {
      const row = await transaction.group(group);
      const site = service.sites.of(group);
      if (row === null || site?.state !== "open" || service.sites.missed.includes(group))
        return { outcome: null, entries: [] };
      const [entries, found]: [Entry[], MachineRow[]] = [[], []];
      for (const machine of await transaction.goneIn(group, LOCKED_AT_ONCE)) {
        const locked = await lock(service, transaction, machine, service.pulses.add(machine.id));
        found.push(locked.machine);
        entries.push(locked.entry);
      }
      if (found.length > 0) return { outcome: found, entries };
      await transaction.setGroup({ ...row, site: { ...row.site, state: "free", open: null } });
      service.sites.set(group, null);
      return { outcome: null, entries: [{ kind: "site-end", at: service.system.nowMs(), group, hold: site.hold }] };
    };
    for (let isOver = false; !isOver; ) {
      const found = await insist(service, { subject: async () => null, stops: false }, operation);
      for (const machine of found ?? []) adoptState(service, machine);
      isOver = found === null;
    }
    await service.store.recordProgress();
    await service.store.holdRoom();
  }
}

/** False where a person or a heartbeat was there before. */
function isToLock(service: Service, { state, policy, goneIn }: MachineRow, number: number): boolean {
  const pulse = service.pulses.pulseOf(number);
  const isDue = pulse !== null && isOverdue(pulse, service.system.monotonicMs());
  return isDue && state === "active" && policy === "alive" && goneIn === null;
}

async function lock(service: Service, transaction: Transaction, machine: MachineRow, number: number) {
  const { id, name, epoch } = machine;
  const next = epoch + 1;
  await transaction.setMachine(id, "locked", next);
  const last = service.pulses.seenMs(number) ?? machine.seenMs;
  const seen = last === null ? {} : { last: Math.floor(last) };
  const at = service.system.nowMs();
  const timeout = machine.alive?.timeoutMs ?? 0;
  const entry: Entry = { kind: "machine-gone", at, machine: id, name, epoch: next, timeout, ...seen };
  return { machine: { ...machine, state: "locked" as const, epoch: next, goneIn: null, goneFrom: null }, entry };
}

/**
 * Takes up a machine's state once a change of it is durable. A machine that is revoked loses its
 * session.
 */
export function adoptState({ pulses }: Pick<Service, "pulses">, { id, state, goneIn }: MachineRow): void {
  const number = pulses.find(id);
  if (number === null) return;
  pulses.setLocked(number, state !== "active");
  pulses.setGone(number, goneIn !== null);
  if (state !== "revoked") return;
  pulses.end(number);
  pulses.setPulse(number, null);
}

/**
 * Begins anew what a machine under `alive` is released by, since a person has said so: it has the
 * time of a boot to be heard in. Call it within the transaction of the change.
 */
export async function beginPulse(
  service: Service,
  transaction: Transaction,
  machineId: string,
  timeoutMs: number,
): Promise<AliveRow> {
  const pulse = begun(timeoutMs, service.system.monotonicMs());
  const alive = await keepPulse(service, transaction, machineId, pulse, (await transaction.tree()).size);
  const number = service.pulses.add(machineId);
  service.pulses.setPulseWithin(number, pulse);
  service.pulses.setGoneWithin(number, false);
  return alive;
}

/** Forgets it, since the policy is another now. Call it within the transaction of the change. */
export function endPulse({ pulses }: Pick<Service, "pulses">, machineId: string): void {
  const number = pulses.find(machineId);
  if (number === null) return;
  pulses.setPulseWithin(number, null);
  pulses.setGoneWithin(number, false);
}

/**
 * Writes what a machine is released by, for the next run. Call it within a transaction.
 * @param madeAt the log's size
 */
export async function keepPulse(
  { system }: Pick<Service, "system">,
  transaction: Transaction,
  machineId: string,
  pulse: Pulse,
  madeAt: number,
): Promise<AliveRow> {
  const now = { nowMs: system.nowMs(), monotonicMs: system.monotonicMs() };
  const alive: AliveRow = { ...stored(pulse, now), madeAt };
  await transaction.setAlive(machineId, alive);
  return alive;
}

/**
 * Writes when machines were heard, of those that were heard since it was last written. What is not
 * written yet after a crash is refused a release until it is heard.
 * @param all in place of as many as one round takes
 * @throws NightlatchError store/*
 */
export async function saveHeard(service: Service, all: boolean): Promise<void> {
  const { pulses } = service;
  const most = all ? pulses.size : SAVED_IN_A_ROUND;
  for (let saved = 0; saved < most; saved += SAVED_AT_ONCE) {
    const numbers = pulses.takeUnsaved(SAVED_AT_ONCE);
    if (numbers.length === 0) return;
    try {
      await service.queue.submit(async (transaction) => {
        const { size } = await transaction.tree();
        for (const number of numbers) await save(service, transaction, number, size);
        return { outcome: null, entries: [], wrote: true };
      });
    } catch (error) {
      pulses.giveBack(numbers);
      throw error;
    }
  }
}

/** Writes that a machine was heard, at once. @throws NightlatchError store/* */
export async function saveNow(service: Service, number: number): Promise<void> {
  await service.queue.submit(async (transaction) => {
    await save(service, transaction, number, (await transaction.tree()).size);
    return { outcome: null, entries: [], wrote: true };
  });
}

async function save(service: Service, transaction: Transaction, number: number, madeAt: number): Promise<void> {
  const { pulses } = service;
  const [id, pulse] = [pulses.idOf(number), pulses.pulseOf(number)];
  await transaction.setSeen(id, Math.floor(pulses.seenMs(number) ?? 0), pulses.placeOf(number));
  if (pulse !== null) await keepPulse(service, transaction, id, pulse, madeAt);
}
