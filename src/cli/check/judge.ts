import type { CheckFacts } from "./facts.ts";
import { bySeverity, type Finding } from "./finding.ts";
import { judgeAgent, judgeState } from "./judge-agent.ts";
import { judgeBindings } from "./judge-bindings.ts";
import { judgeMounts } from "./judge-mounts.ts";
import { judgeUnits } from "./judge-units.ts";
import { judgeVolume } from "./judge-volume.ts";

/** What would not go well at the next boot, the worst first. */
export function judge(facts: CheckFacts): Finding[] {
  const { path, faults } = facts.crypttab;
  const ignored = faults.map(
    ({ line, what }): Finding => ({
      code: "crypttab/ignored-line",
      severity: "warning",
      subject: `${path}:${line}`,
      message: `the line ${what}`,
      effect: "systemd passes over it.",
      remedy: `Correct or remove line ${line} of ${path}, then: systemctl daemon-reload`,
    }),
  );
  const volumes = facts.volumes.flatMap((volume) => [
    ...judgeVolume(volume, facts),
    ...judgeMounts(volume, facts),
    ...judgeBindings(volume, facts),
  ]);
  return bySeverity([...ignored, ...volumes, ...judgeAgent(facts), ...judgeState(facts), ...judgeUnits(facts)]);
}
