import type { NightlatchError } from "../../core/errors.ts";
import type { AgentConfig, KeyCommand } from "../../formats/agent-config.ts";
import type { CrypttabEntry, CrypttabFault } from "../../formats/crypttab.ts";
import type { FstabEntry } from "../../formats/fstab.ts";
import type { OrderingCycle, UnitProperties } from "../../formats/unit-properties.ts";
import type { FileFacts } from "../../system/port.ts";
import type { VolumeStatus } from "../volume-status.ts";

/** Everything that the judgement looks at, as it was at one moment. */
export interface CheckFacts {
  readonly crypttab: { readonly path: string; readonly faults: readonly CrypttabFault[] };
  readonly fstab: readonly FstabEntry[];
  readonly agent: AgentFacts;
  readonly volumes: readonly VolumeFacts[];
  /** What lies in the state folder, the folder itself included; those that are not there are absent. */
  readonly state: readonly PathFacts[];
  /** null: systemd does not run here, or does not answer. */
  readonly units: UnitFacts | null;
}

export interface PathFacts {
  readonly path: string;
  readonly facts: FileFacts;
}

export interface AgentFacts {
  /** Path that crypttab should name. */
  readonly socketPath: string;
  readonly socket: FileFacts | null;
  readonly socketFolder: FileFacts | null;
  readonly configPath: string;
  /** null: there is none. */
  readonly configFile: FileFacts | null;
  readonly configError: NightlatchError | null;
  readonly config: AgentConfig;
  /** Programs of the configured commands that cannot be found. */
  readonly missingPrograms: readonly string[];
}

export interface VolumeFacts {
  readonly entry: CrypttabEntry;
  readonly command: KeyCommand | null;
  readonly deadlineMs: number;
  /** The key path that systemd will use, or null where it will find none. */
  readonly key: { readonly path: string; readonly kind: FileFacts["kind"] | null } | null;
  readonly mounts: readonly FstabEntry[];
  /** Either this or `error`. */
  readonly status: VolumeStatus | null;
  readonly error: NightlatchError | null;
}

export interface UnitFacts {
  /** nightlatch-agent.socket; null where it is not installed. */
  readonly agentSocket: UnitProperties | null;
  readonly cycles: readonly OrderingCycle[];
  /** Units that are ordered before the opening of volumes and are not systemd's own. */
  readonly early: readonly UnitProperties[];
  /** Sockets, other than the agent's, that crypttab names as key files, with the service behind each. */
  readonly keySockets: readonly KeySocketFacts[];
}

export interface KeySocketFacts {
  readonly path: string;
  readonly socket: UnitProperties;
  readonly service: UnitProperties | null;
}

/** Whether the agent will be asked for it. */
export function asksAgent(volume: VolumeFacts, agent: AgentFacts): boolean {
  return volume.key?.path === agent.socketPath;
}
