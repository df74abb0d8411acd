import type { CheckFacts, VolumeFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";

/** What else the system runs from, beside what the initramfs opens. */
const SYSTEM_PATHS = new Set(["/", "/usr", "/etc", "/var", "/var/log", "/var/lib"]);

const STRANGER_STEPS =
  "write names under /dev/mapper into volumes of its [tether]\nsystemctl restart nightlatch-tether.service";

/** Judges whether the tether of agent.toml, if there is one, could do what it is for. */
export function judgeTether({ tether, files, volumes }: CheckFacts): Finding[] {
  if (tether === null) return [];
  const { warning } = findingsOf(files.config);
  if (tether.idle.length > 0) {
    const text = `[tether] does nothing: ${tether.idle.join(" and ")} would have to run, and be enabled`;
    return [warning("check/tether", text, tether.idle.map((unit) => `systemctl enable --now ${unit}`).join("\n"))];
  }
  const { strangers } = tether;
  if (strangers.length > 0) {
    const text = `[tether] suspends no ${strangers.join(", ")}: crypttab names no such volume, and none is open`;
    return [warning("check/tether", text, STRANGER_STEPS)];
  }
  const bound = volumes.filter(({ bindings, entry }) => bindings.length > 0 || tether.volumes.includes(entry.volume));
  if (tether.action !== "suspend" || bound.length === 0 || bound.some((one) => !isSystems(one))) return [];
  const text = "[tether] has nothing to suspend: the system runs from every volume that has a binding";
  const remedy = `write action = "power-off" into its [tether], and restart nightlatch-tether`;
  return [warning("check/tether", text, remedy)];
}

function isSystems({ early, entry, mounts }: VolumeFacts): boolean {
  return (
    early !== null ||
    entry.options.some(({ name }) => name === "swap") ||
    mounts.some(({ target }) => SYSTEM_PATHS.has(target))
  );
}
