import type { CheckFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { judgeHeartbeat } from "./heartbeat.ts";
import { judgeMachine } from "./machine.ts";
import { judgeTether } from "./tether.ts";
import { judgeVolume } from "./volume.ts";
import { judgeWitness } from "./witness.ts";

/** Everything that would go wrong at the next boot, errors first, in crypttab's order. */
export function judge(facts: CheckFacts): Finding[] {
  const findings = [
    ...judgeMachine(facts),
    ...judgeTether(facts),
    ...judgeHeartbeat(facts),
    ...judgeWitness(facts),
    ...facts.volumes.flatMap((volume) => judgeVolume(facts, volume)),
  ];
  return findings.sort((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
}
