/** /etc/nightlatch/agent.toml: docs/format/agent-config.md. */
export interface AgentConfig {
  /** How long the agent tries for a volume's key: `deadline` in the file. */
  readonly timeoutMs: number;
  readonly trust: VolumeTrust;
  readonly volumes: ReadonlyMap<string, VolumeConfig>;
  readonly heartbeat: HeartbeatConfig;
  /** Null where the file has no `[tether]`: nothing is suspended. */
  readonly tether: TetherConfig | null;
  /** Null where the file has no `[witness]`: a server's own word is taken. */
  readonly witness: WitnessConfig | null;
}

/** Who must have signed a server's log: `[witness]` in the file. */
export interface WitnessConfig {
  /** Verifier keys, as `nightlatch witness list` shows them. */
  readonly keys: readonly string[];
  /** How many of them there must be. */
  readonly need: number;
  /**
   * What becomes of a server whose log they have not signed: it is told, or not asked for keys any
   * more.
   */
  readonly missing: "tell" | "refuse";
}

/** What becomes of a running machine that its servers have given up: `[tether]` in the file. */
export interface TetherConfig {
  /** For how long no server may answer; null: that means nothing, and a lock alone counts. */
  readonly afterMs: number | null;
  readonly action: "suspend" | "power-off";
  /** Mappings to suspend beside those of volumes that have a binding. */
  readonly volumes: readonly string[];
}

/** How this machine tells its servers that it is alive: `[heartbeat]` in the file. */
export interface HeartbeatConfig {
  /** Whether the file has a `[heartbeat]`: somebody counts on them. */
  readonly isSaid: boolean;
  /** The longest pause between two heartbeats. */
  readonly intervalMs: number;
  /** Base addresses of the servers; null: every one that the machine is enrolled at. */
  readonly servers: readonly string[] | null;
}

/**
 * What becomes of a volume without a record: docs/format/bound.md. `first-use`: it is taken for the
 * one that it should be. `recorded`: it is refused.
 */
export type VolumeTrust = "first-use" | "recorded";

/** What agent.toml says of one volume. */
export interface VolumeConfig {
  /** As in AgentConfig, for this volume. */
  readonly timeoutMs: number;
  readonly trust: VolumeTrust;
  /** null: by the bindings in the volume's header. */
  readonly command: KeyCommand | null;
}

/** A command whose output is a volume's key. */
export interface KeyCommand {
  readonly argv: readonly [string, ...string[]];
  /** How long one run may take: `timeout` in the file. */
  readonly timeoutMs: number;
  /** Whether one line feed at the end of the output is no part of the key. */
  readonly stripNewline: boolean;
  /** Exit statuses after which trying again is of no use. */
  readonly refusalStatuses: readonly number[];
}

/** A log has at most so many witnesses, and a machine knows as many. */
export const WITNESS_COUNT = 8;
/** agent.toml has at most this. */
export const AGENT_CONFIG_LIMIT_BYTES = 64 << 10;
/**
 * How long the agent tries for a volume. It is below the 90 s that a mount waits for its device
 * (DefaultDeviceTimeoutSec=, systemd-system.conf(5)).
 */
export const DEFAULT_TIMEOUT_MS = 60_000;

/** What holds where there is no agent.toml. */
export const DEFAULT_AGENT_CONFIG: AgentConfig = {
  timeoutMs: DEFAULT_TIMEOUT_MS,
  trust: "first-use",
  volumes: new Map(),
  heartbeat: { isSaid: false, intervalMs: 60_000, servers: null },
  tether: null,
  witness: null,
};

/**
 * Gives what holds in the place of a file with a mistake in it. A file that says `recorded`
 * anywhere may have meant it for every volume, and so may one of which nothing can be read (null);
 * a slip must not take that back.
 */
export function configInPlaceOf(text: Buffer | null): AgentConfig {
  const trust = text === null || text.includes("recorded") ? "recorded" : DEFAULT_AGENT_CONFIG.trust;
  return { ...DEFAULT_AGENT_CONFIG, trust };
}
