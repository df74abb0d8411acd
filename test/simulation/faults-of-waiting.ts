/** Faults of heartbeats, of the policy `alive`, and of approvals. */
import type { Pulses } from "../../src/server/service/pulses.ts";
import type { Service } from "../../src/server/service/service.ts";
import { altered, type Fault } from "./faults.ts";

/** A service whose pulses have other methods. */
function beating(change: (pulses: Pulses) => Partial<Pulses>): (service: Service) => Service {
  return (service) => ({ ...service, pulses: altered(service.pulses, change(service.pulses)) });
}

export const FAULTS_OF_WAITING: readonly Fault[] = [
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
    name: "a heartbeat counts twice",
    breaks: ["heartbeat"],
    service: beating(() => ({ count: () => true })),
  },
  {
    name: "nobody is asked",
    breaks: ["liveness"],
    transaction: (transaction) =>
      altered(transaction, { crowdAround: async () => ({ ofMachine: 16, ofNetwork: 2, around: 0, all: 16 }) }),
  },
];
