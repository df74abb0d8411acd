/** Faults of heartbeats, of the policy `alive`, and of approvals. */
import type { Pulses } from "../../src/server/service/memory/pulses.ts";
import type { Service } from "../../src/server/service/service.ts";
import type { Transaction } from "../../src/server/store/port.ts";
import type { LatchRow, MachineRow, RequestRow } from "../../src/server/store/rows.ts";
import { altered, type Fault, seeing, writing } from "./faults.ts";

const DAY_MS = 86_400_000;

/** A service whose pulses have other methods. */
function beating(change: (pulses: Pulses) => Partial<Pulses>): (service: Service) => Service {
  return (service) => ({ ...service, pulses: altered(service.pulses, change(service.pulses)) });
}

/** A service that sees machines otherwise where it asks the store without its queue. */
function besideQueue(change: (machine: MachineRow) => MachineRow): (service: Service) => Service {
  return (service) => {
    const seen = (transaction: Transaction) =>
      altered(transaction, {
        machine: async (id) => {
          const machine = await transaction.machine(id);
          return machine === null ? null : change(machine);
        },
      });
    const transact: typeof service.store.transact = (work) =>
      service.store.transact((transaction) => work(seen(transaction)));
    return { ...service, store: altered(service.store, { transact }) };
  };
}

/** A transaction that sees requests otherwise. */
function asking(change: (request: RequestRow) => RequestRow): (transaction: Transaction) => Transaction {
  const changed = (request: RequestRow | null) => (request === null ? null : change(request));
  return (transaction) =>
    altered(transaction, {
      request: async (id) => changed(await transaction.request(id)),
      requestFrom: async (machine, from) => changed(await transaction.requestFrom(machine, from)),
      requests: async () => (await transaction.requests()).map(change),
    });
}

/** A transaction that sees the latches of a machine with a lease otherwise. */
function booting(
  change: (latch: LatchRow, lease: number | null) => LatchRow,
): (transaction: Transaction) => Transaction {
  return (transaction) =>
    altered(transaction, {
      latchesOf: async (id) => {
        const lease = (await transaction.machine(id))?.lease?.number ?? null;
        return (await transaction.latchesOf(id)).map((latch) => change(latch, lease));
      },
    });
}

/** A transaction that takes up other times at a start. */
function resuming(
  change: (alive: { untilMs: number; savedMs: number; madeAt: number }) => object,
): (transaction: Transaction) => Transaction {
  return (transaction) =>
    altered(transaction, {
      machinesUnderAlive: async (after) =>
        (await transaction.machinesUnderAlive(after)).map((row) =>
          row.alive === null ? row : { ...row, alive: { ...row.alive, ...change(row.alive) } },
        ),
    });
}

export const FAULTS_OF_WAITING: readonly Fault[] = [
  {
    name: "whether a machine is there is not looked at",
    breaks: ["policy", "alive"], // what is written of it gives it more time after a restart
    isOfSites: true,
    service: beating((pulses) => ({
      pulseOf: (number) => {
        const pulse = pulses.pulseOf(number);
        return pulse === null ? null : { ...pulse, openUntilMs: pulse.openUntilMs + 365 * DAY_MS };
      },
    })),
  },
  {
    name: "a machine that is silent is not locked",
    breaks: ["alive"],
    service: beating(() => ({ due: () => [] })),
  },
  {
    name: "a heartbeat does not put off the lock",
    isQuick: true,
    breaks: ["alive", "liveness"],
    service: beating((pulses) => ({
      setPulse: (number, pulse) => {
        const before = pulses.pulseOf(number);
        pulses.setPulse(number, pulse !== null && before !== null ? { ...pulse, dueMs: before.dueMs } : pulse);
      },
    })),
  },
  {
    name: "each release gives the time of a boot once more",
    breaks: ["policy", "alive"],
    service: beating((pulses) => ({
      pulseOf: (number) => {
        const pulse = pulses.pulseOf(number);
        return pulse === null ? null : { ...pulse, isExtended: false };
      },
    })),
  },
  {
    name: "a restart counts as a heartbeat",
    breaks: ["policy", "alive"],
    transaction: resuming(({ untilMs, savedMs }) => ({ untilMs: untilMs + DAY_MS, savedMs: savedMs - DAY_MS })),
  },
  {
    name: "the server's own silence locks machines",
    breaks: ["alive"],
    service: beating(() => ({ changeAll: () => {} })),
  },
  {
    name: "a locked machine is told that it is well",
    breaks: ["heartbeat"],
    service: beating(() => ({ isLocked: () => false })),
  },
  {
    name: "whoever is silent for half of its time is locked",
    breaks: ["alive", "liveness"],
    service: beating((pulses) => ({
      setPulse: (number, pulse) =>
        pulses.setPulse(number, pulse === null ? null : { ...pulse, dueMs: pulse.dueMs - pulse.timeoutMs * 0.8 }),
    })),
  },
  {
    name: "a heartbeat counts twice",
    isQuick: true,
    breaks: ["heartbeat"],
    service: beating(() => ({ count: () => true })),
  },
  {
    name: "a heartbeat counts from anywhere",
    breaks: ["heartbeat"],
    service: beating(() => ({ isFrom: () => true })),
  },
  {
    name: "codes of authentication are not compared",
    breaks: ["heartbeat", "lease"],
    crypto: { timingSafeEqual: () => true },
  },
  {
    name: "a locked machine opens a session",
    breaks: ["heartbeat"],
    service: besideQueue((machine) => ({ ...machine, state: "active" })),
  },
  {
    name: "a request for a session is taken again",
    breaks: ["heartbeat"],
    service: (service) => ({
      ...service,
      sessionChallenges: altered(service.sessionChallenges, { isGood: () => true }),
    }),
  },
  {
    name: "a heartbeat hears of a lease that is over",
    breaks: ["lease"],
    service: besideQueue((machine) => {
      const { lease } = machine;
      return lease ? { ...machine, lease: { ...lease, untilMs: lease.untilMs + DAY_MS } } : machine;
    }),
  },
  {
    name: "a heartbeat after the boot does not end its window",
    breaks: ["lease"],
    service: (service) => ({ ...service, cameUp: altered(service.cameUp, { has: () => false }) }),
  },
  {
    name: "a heartbeat ends a window that no boot has used",
    breaks: ["lease"],
    transaction: booting((latch, lease) => (lease === null ? latch : { ...latch, use: { lease, atMs: 0, from: "" } })),
  },
  {
    name: "a boot ends the window of a volume that opens late",
    breaks: ["lease"],
    transaction: booting((latch, lease) => (latch.use?.lease === lease ? latch : { ...latch, state: "locked" })),
  },
  {
    name: "an operator counts twice",
    breaks: ["approval"],
    transaction: asking((request) => ({ ...request, approvedBy: request.approvedBy.map((by) => by + 1_000_000) })),
  },
  {
    name: "one operator is enough",
    isQuick: true,
    breaks: ["approval"],
    transaction: (transaction) =>
      altered(transaction, {
        machine: async (id) => {
          const machine = await transaction.machine(id);
          return machine?.approval == null ? machine : { ...machine, approval: { ...machine.approval, of: 1 } };
        },
      }),
  },
  {
    name: "an approval is for any address",
    breaks: ["policy", "liveness"],
    transaction: seeing((row) =>
      row.policy !== "approval" ? row : { ...row, policy: "lease", lease: row.lease && { ...row.lease, to: null } },
    ),
  },
  {
    name: "a denial is not heeded",
    breaks: ["approval"],
    transaction: asking((request) => ({ ...request, state: "waiting" })),
  },
  {
    name: "a request waits for too long",
    breaks: ["approval"],
    transaction: asking((request) => ({ ...request, expiresMs: request.expiresMs + DAY_MS })),
  },
  {
    name: "a request ends before its time",
    breaks: ["approval"],
    transaction: asking((request) => ({ ...request, expiresMs: request.expiresMs - 3_000_000 })),
  },
  {
    name: "requests outlive a lock",
    breaks: ["approval", "liveness"], // where one of before waits, nobody is asked
    transaction: (transaction) =>
      altered(transaction, {
        setMachine: async (id, state, epoch) => {
          const waiting = (await transaction.requests()).filter(({ machineId }) => machineId === id);
          await transaction.setMachine(id, state, epoch);
          for (const request of waiting) await transaction.setRequest(request);
        },
      }),
  },
  {
    name: "nobody is asked",
    isQuick: true,
    breaks: ["liveness"],
    transaction: (transaction) =>
      altered(transaction, { crowdAround: async () => ({ ofMachine: 16, ofNetwork: 2, around: 0, all: 16 }) }),
  },
  {
    name: "an operator's word is put down as another's",
    breaks: ["approval"],
    service: writing((entries) =>
      entries.map((entry) => (entry.kind === "request-approve" ? { ...entry, by: entry.by + 1_000_000 } : entry)),
    ),
  },
];
