/** Faults that are planted in the server, to show that each of them is found. */
import type crypto from "node:crypto";
import { isError } from "../../src/core/errors.ts";
import type { Entry } from "../../src/server/audit/entry.ts";
import type { BatchExchange } from "../../src/server/exchange/batch.ts";
import type { Operation } from "../../src/server/service/queue.ts";
import type { Service } from "../../src/server/service/service.ts";
import type { Transaction } from "../../src/server/store/port.ts";
import type { ReleaseRow } from "../../src/server/store/rows.ts";
import type { LyingDisk } from "./disk.ts";
import type { Invariant } from "./violation.ts";

/** A fault, and the invariants one of which it breaks first. */
export interface Fault {
  readonly name: string;
  readonly breaks: readonly Invariant[];
  /** It is found within a moment, and so is planted each time. */
  readonly isQuick?: true;
  /** It is looked for where machines stand together, most of them under `alive`. */
  readonly isOfSites?: true;
  /** The service with the fault in it. It is asked at each start. */
  readonly service?: (service: Service) => Service;
  readonly exchange?: (exchange: BatchExchange) => BatchExchange;
  /** A transaction with the fault in it. */
  readonly transaction?: (transaction: Transaction) => Transaction;
  readonly disk?: LyingDisk;
  /** What of node:crypto is another. */
  readonly crypto?: Partial<typeof crypto>;
  /** The address that every client seems to come from. */
  readonly address?: string;
}

/** The same with other methods. */
export function altered<T extends object>(of: T, changes: Partial<T>): T {
  return new Proxy(of, {
    get: (target, name) => {
      const own = Reflect.get(changes, name) ?? Reflect.get(target, name, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}

/** A release that sees the row otherwise. */
export function seeing(change: (row: ReleaseRow) => ReleaseRow): (transaction: Transaction) => Transaction {
  return (transaction) =>
    altered(transaction, {
      release: async (latchId) => {
        const row = await transaction.release(latchId);
        return row === null ? null : change(row);
      },
    });
}

/** A change of a machine that leaves it its window. */
function keepingLease(name: "setMachine" | "setPolicy"): (transaction: Transaction) => Transaction {
  return (transaction) =>
    altered(transaction, {
      [name]: async (machineId: string, ...rest: never[]) => {
        const lease = (await transaction.machine(machineId))?.lease ?? null;
        await (transaction[name] as (id: string, ...more: never[]) => Promise<void>)(machineId, ...rest);
        await transaction.setLease(machineId, lease);
      },
    });
}

/** Operations whose entries are others. */
export function writing(change: (entries: readonly Entry[], service: Service) => readonly Entry[]) {
  return (service: Service): Service => {
    const changed =
      <T>(operation: Operation<T>): Operation<T> =>
      async (transaction) => {
        const recorded = await operation(transaction);
        return { ...recorded, entries: change(recorded.entries, service) };
      };
    return {
      ...service,
      queue: altered(service.queue, {
        submit: <T>(operation: Operation<T>) => service.queue.submit(changed(operation)),
        submitRelease: <T>(operation: Operation<T>) => service.queue.submitRelease(changed(operation)),
        submitFirst: <T>(operation: Operation<T>) => service.queue.submitFirst(changed(operation)),
      }),
    };
  };
}

const isRelease = ({ kind }: Entry): boolean => kind === "release" || kind === "flood";

/** Faults of what there was before machines were heard, and operators asked. */
export const FAULTS_OF_RELEASES: readonly Fault[] = [
  {
    name: "a machine's lock is not looked at",
    breaks: ["policy", "acknowledged", "approval"],
    transaction: seeing((row) => ({ ...row, machineState: row.machineState === "revoked" ? "revoked" : "active" })),
  },
  {
    name: "a latch's lock is not looked at",
    breaks: ["policy", "acknowledged"],
    transaction: seeing((row) => ({ ...row, latchState: row.latchState === "revoked" ? "revoked" : "active" })),
  },
  {
    name: "a revocation destroys nothing",
    breaks: ["policy", "acknowledged", "approval", "log"],
    transaction: (transaction) =>
      seeing((row) => ({ ...row, machineState: row.machineState === "revoked" ? "active" : row.machineState }))(
        altered(transaction, {
          destroyKeys: async () => {},
          setLatch: async (id, state) => (state === "revoked" ? undefined : transaction.setLatch(id, state)),
        }),
      ),
  },
  {
    name: "the policy is not looked at",
    isQuick: true,
    breaks: ["policy"],
    transaction: seeing((row) => ({ ...row, policy: "always" })),
  },
  {
    name: "a window closes too late",
    breaks: ["policy"],
    transaction: (transaction) =>
      seeing((row) => ({
        ...row,
        lease: row.lease && { ...row.lease, untilMs: row.lease.untilMs + 86_400_000 },
      }))(altered(transaction, { machinesPastLease: async () => [] })),
  },
  {
    name: "a window is ended before its time",
    isQuick: true,
    breaks: ["policy", "liveness"],
    transaction: (transaction) =>
      altered(transaction, { machinesPastLease: (atMs) => transaction.machinesPastLease(atMs + 1_200_000) }),
  },
  {
    name: "a grace has no end",
    breaks: ["policy"],
    transaction: seeing((row) => ({ ...row, lease: row.lease && { ...row.lease, graceMs: 86_400_000 } })),
  },
  {
    name: "a first release is not noted",
    breaks: ["policy", "log"],
    transaction: (transaction) => altered(transaction, { useLease: async () => {} }),
  },
  {
    name: "what was counted of a day is lost with the server",
    breaks: ["policy"],
    transaction: (transaction) => altered(transaction, { daysBeyond: async () => new Map() }),
  },
  {
    name: "what was counted of a day is not written, and said to be",
    breaks: ["policy", "log"],
    transaction: (transaction) => altered(transaction, { setDay: async () => {} }),
  },
  {
    name: "everybody seems to come from one address",
    isQuick: true,
    breaks: ["policy", "receipt"],
    address: "192.0.2.1",
  },
  {
    name: "a window outlives a lock",
    breaks: ["policy", "log"],
    transaction: keepingLease("setMachine"),
  },
  {
    name: "a window outlives a change of policy",
    breaks: ["policy", "lease", "log"],
    transaction: keepingLease("setPolicy"),
  },
  {
    name: "a request for a window is taken again",
    breaks: ["lease"],
    service: (service) => ({ ...service, challenges: altered(service.challenges, { isGood: () => true }) }),
  },
  {
    name: "a clock that was set back is believed",
    breaks: ["policy", "approval", "lease"],
    transaction: (transaction) =>
      altered(transaction, { tree: async () => ({ ...(await transaction.tree()), times: [] }) }),
  },
  {
    name: "a release has no receipt",
    breaks: ["receipt"],
    service: writing((entries) => entries.filter((entry) => !isRelease(entry))),
  },
  {
    name: "a receipt follows its answer",
    isQuick: true,
    breaks: ["receipt"],
    service: writing((entries, { queue, system }) => {
      const late = entries.filter(isRelease);
      if (late.length > 0)
        void system.sleep(200).then(() => queue.submit(async () => ({ outcome: null, entries: late })));
      return entries.filter((entry) => !isRelease(entry));
    }),
  },
  {
    name: "a disk says that it has written, and has not",
    breaks: ["receipt", "acknowledged", "witness"],
    disk: { losesCommits: true },
  },
  {
    name: "a lock is kept in memory alone",
    breaks: ["acknowledged", "policy", "log", "heartbeat"],
    transaction: (transaction) =>
      altered(transaction, {
        setMachine: async (id, state, epoch) =>
          state === "locked" ? undefined : transaction.setMachine(id, state, epoch),
      }),
  },
  {
    name: "a start unlocks everything",
    breaks: ["policy", "acknowledged", "heartbeat", "log", "approval"],
    service: (service) => {
      void service.store.transact(async (transaction) => {
        for (const { id, state, epoch } of await transaction.machines())
          if (state === "locked") await transaction.setMachine(id, "active", epoch);
      });
      return service;
    },
  },
  {
    name: "a halt is never lifted",
    breaks: ["liveness"],
    service: (service) => ({
      ...service,
      halts: altered(service.halts, {
        place: (halted) => {
          service.halts.place(halted);
          return { [Symbol.dispose]: () => {} };
        },
      }),
    }),
  },
  {
    name: "what is released is another's key",
    isQuick: true,
    breaks: ["liveness"],
    exchange: (exchange) => altered(exchange, { multiply: async (_scalar, point) => point }),
  },
  {
    name: "an operator is told before what is being multiplied was answered",
    breaks: ["acknowledged"],
    exchange: (exchange) => altered(exchange, { settled: () => null }),
  },
  {
    name: "a release on a full disk is answered all the same",
    breaks: ["receipt", "liveness"],
    service: (service) => ({
      ...service,
      queue: altered(service.queue, {
        submitRelease: async <T>(operation: Operation<T>) => {
          try {
            return await service.queue.submitRelease(operation);
          } catch (error) {
            if (!isError(error, "store/full")) throw error;
            return await outcomeOf(service, operation);
          }
        },
      }),
    }),
  },
  {
    name: "a server does not recover from a full disk",
    breaks: ["liveness"],
    service: (service) => {
      let full: unknown = null;
      const submitRelease = async <T>(operation: Operation<T>): Promise<T> => {
        if (full !== null) throw full;
        try {
          return await service.queue.submitRelease(operation);
        } catch (error) {
          if (isError(error, "store/full")) full = error;
          throw error;
        }
      };
      return { ...service, queue: altered(service.queue, { submitRelease }) };
    },
  },
];

/** What an operation would have come to, without anything of it on the disk. */
async function outcomeOf<T>(service: Service, operation: Operation<T>): Promise<T> {
  const found: T[] = [];
  await service.store
    .transact(async (transaction) => {
      found.push((await operation(transaction)).outcome);
      throw new TypeError("nothing of it is written");
    })
    .catch(() => {});
  return found[0] as T;
}
