import type { CheckFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";

const UNIT = "nightlatch-heartbeat.service";

/** Judges whether the servers hear this machine, where somebody counts on it. */
export function judgeHeartbeat({ heartbeat, files }: CheckFacts): Finding[] {
  if (heartbeat === null) return [];
  const { strangers, enrolled, runs, isTethers, silent } = heartbeat;
  if (strangers.length > 0) {
    const text = `[heartbeat] names ${strangers.join(", ")}, where this machine is not enrolled: no heartbeat is sent at all`;
    const known = enrolled.map((url) => JSON.stringify(url)).join(", ");
    const remedy = `write servers = [${known}] into its [heartbeat], or leave servers out\nsystemctl restart ${UNIT}`;
    return [findingsOf(files.config).warning("check/heartbeat", text, remedy)];
  }
  if (!runs) {
    // What a tether lacks is told of it.
    if (isTethers) return [];
    const text = "no heartbeat is sent: it would have to run, and be enabled";
    return [findingsOf(UNIT).warning("check/heartbeat", text, `systemctl enable --now ${UNIT}`)];
  }
  return silent.map(({ url, name, silentMs }) => {
    const since = silentMs === null ? "since the machine was started" : `for ${Math.floor(silentMs / 1000)} s`;
    const { host } = new URL(url);
    const text = `has answered no heartbeat ${since}: under the policy alive it locks ${name}, or has locked it`;
    const remedy = [
      `systemctl restart ${UNIT}`,
      `see why, where it still answers none: journalctl -u ${UNIT} -n 20`,
      `at ${host}, where it is locked: nightlatch machine unlock ${name}`,
    ].join("\n");
    return findingsOf(host).warning("check/heartbeat", text, remedy);
  });
}
