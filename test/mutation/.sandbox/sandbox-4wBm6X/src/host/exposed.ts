// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Exposure, System } from "../system/port.ts";

/** What the agent acts upon, and what it speaks with. */
interface AgentFiles {
  readonly crypttab: string;
  readonly config: string;
  readonly state: string;
  /** Of commands in agent.toml; one without a path is looked for in the system's folders. */
  readonly programs: readonly string[];
}

/**
 * Lists which of the agent's files others than root could change, and the machine's identity where
 * others could read it. The agent and `nightlatch check` measure alike:
 * docs/decisions/075-files-that-others-can-change.md
 * @throws NightlatchError file/* but file/missing
 */
export async function listExposed(
  system: Pick<System, "findExposures">,
  { crypttab, config, state, programs }: AgentFiles,
): Promise<readonly Exposure[]> {
  const absolute = programs.filter((program) => program.startsWith("/"));
  const changeable = [crypttab, config, state, ...absolute].map((path) => ({ path, isSecret: false }));
  return system.findExposures([...changeable, { path: `${state}/identity.key`, isSecret: true }]);
}

/**
 * Refuses to go on where others than root could change one of the agent's files, or read its
 * identity.
 * @throws NightlatchError agent/exposed, file/* but file/missing
 */
export async function refuseExposed(system: Pick<System, "findExposures">, files: AgentFiles): Promise<void> {
  const [exposure] = await listExposed(system, files);
  if (exposure !== undefined) throw describeExposure(exposure);
}

/**
 * Refuses a program that others than root could change. One without a path is looked for in the
 * system's folders, and passes.
 * @throws NightlatchError agent/exposed, file/* but file/missing
 */
export async function refuseExposedProgram(system: Pick<System, "findExposures">, program: string): Promise<void> {
  if (!program.startsWith("/")) return;
  const [exposure] = await system.findExposures([{ path: program, isSecret: false }]);
  if (exposure !== undefined) throw describeExposure(exposure);
}

const WHAT: Readonly<Record<Exposure["flaw"], string>> = {
  owner: "belongs to another user than root",
  changed: "can be changed by others than root",
  read: "can be read by others than root",
};

/** Makes the error for an exposed file, with the command that mends it. */
export function describeExposure(exposure: Exposure): NightlatchError {
  const { path, flaw, uid, mode } = exposure;
  const facts = `user ${uid}, mode ${mode.toString(8).padStart(4, "0")}`;
  return new NightlatchError("agent/exposed", `${path} ${WHAT[flaw]} (${facts})`, {
    meaning:
      flaw === "read"
        ? "Others could speak for this machine at its servers. The agent gives no key; the passphrase is asked for."
        : "Others could have the agent do what they want. It gives no key; the passphrase is asked for.",
    remedy: commandFor(exposure),
  });
}

/** A command as it is typed. */
function commandFor({ path, kind, flaw, mode }: Exposure): string {
  const quoted = /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
  if (flaw === "read") return `chmod go= ${quoted}`;
  const chown = `chown ${kind === "link" ? "-h " : ""}root:root ${quoted}`;
  const chmod = `chmod go-w ${quoted}`;
  if (flaw === "changed") return chmod;
  return kind !== "link" && (mode & 0o022) !== 0 ? `${chown} && ${chmod}` : chown;
}
