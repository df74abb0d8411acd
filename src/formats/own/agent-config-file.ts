import { parse } from "smol-toml";
import { parseDuration } from "../../core/duration.ts";
import { NightlatchError } from "../../core/errors.ts";
import {
  AGENT_CONFIG_LIMIT_BYTES,
  type AgentConfig,
  DEFAULT_AGENT_CONFIG,
  DEFAULT_TIMEOUT_MS,
  type HeartbeatConfig,
  type TetherConfig,
  type VolumeConfig,
  type VolumeTrust,
  WITNESS_COUNT,
  type WitnessConfig,
} from "./agent-config.ts";
import { isBaseAddress } from "./invite.ts";

const COMMAND_TIMEOUT_MS = 20_000;
const HOUR_MS = 3_600_000;
const ARGUMENT_COUNT = 256;
const SERVER_COUNT = 16;
/** A machine that is put under `alive` has 15 minutes to hear of it, with its next heartbeat. */
const LONGEST_INTERVAL_MS = 300_000;
const SHORTEST_SILENCE_MS = 10_000;
const LONGEST_SILENCE_MS = 86_400_000;
const MAPPING_COUNT = 64;
const WITNESS_KEY = /^[^\s+]{1,128}\+[0-9a-f]{8}\+B[A-Za-z0-9+/]{43}$/;
const TRUSTS: readonly VolumeTrust[] = ["first-use", "recorded"];

/**
 * Reads agent.toml.
 * @param file its name, for the message
 * @throws NightlatchError agent/bad-config
 */
export function parseAgentConfig(text: Uint8Array, file: string): AgentConfig {
  try {
    return readConfig(parseToml(text));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new NightlatchError("agent/bad-config", `${file}: ${error.message}`, {
      meaning:
        "The agent passes over the whole file and opens volumes by the bindings in their headers; where the file says " +
        "recorded anywhere, those alone that are on record.",
      remedy: "Correct the file; docs/format/agent-config.md describes it.",
    });
  }
}

/** What is wrong, without the file's name. */
class Fault extends Error {}

function parseToml(text: Uint8Array): Table {
  if (text.byteLength > AGENT_CONFIG_LIMIT_BYTES) throw new Fault(`larger than ${AGENT_CONFIG_LIMIT_BYTES} bytes`);
  let decoded: string;
  try {
    decoded = new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch {
    throw new Fault("not UTF-8");
  }
  try {
    return new Table("", parse(decoded));
  } catch (error) {
    // Only the place: the rest of the message quotes the file, which could hold what is not for a
    // log.
    const { line } = error as { line?: unknown };
    throw new Fault(typeof line === "number" ? `line ${line} is not TOML` : "not TOML");
  }
}

function readConfig(root: Table): AgentConfig {
  root.allow(["deadline", "trust", "volume", "heartbeat", "tether", "witness"]);
  const timeoutMs = root.duration("deadline", 1000) ?? DEFAULT_TIMEOUT_MS;
  const trust = root.choice("trust", TRUSTS) ?? DEFAULT_AGENT_CONFIG.trust;
  const volumes = new Map<string, VolumeConfig>();
  const tables = root.table("volume");
  for (const name of tables?.names() ?? []) {
    const table = tables?.table(name);
    if (table !== undefined) volumes.set(name, readVolume(table, { timeoutMs, trust }));
  }
  const heartbeat = readHeartbeat(root.table("heartbeat"));
  const tether = readTether(root.table("tether"), heartbeat);
  return { timeoutMs, trust, volumes, heartbeat, tether, witness: readWitness(root.table("witness")) };
}

function readHeartbeat(table: Table | undefined): HeartbeatConfig {
  const { heartbeat } = DEFAULT_AGENT_CONFIG;
  if (table === undefined) return heartbeat;
  table.allow(["interval", "servers"]);
  const isAddress = (item: unknown) => typeof item === "string" && isBaseAddress(item);
  const servers = table.list("servers", SERVER_COUNT, isAddress, "addresses of servers");
  return {
    isSaid: true,
    intervalMs: table.duration("interval", 5_000, LONGEST_INTERVAL_MS) ?? heartbeat.intervalMs,
    servers: (servers as string[] | undefined) ?? heartbeat.servers,
  };
}

function readTether(table: Table | undefined, { intervalMs }: HeartbeatConfig): TetherConfig | null {
  if (table === undefined) return null;
  table.allow(["after", "action", "volumes"]);
  const isName = (item: unknown) => typeof item === "string" && /^[^/\0]{1,127}$/.test(item);
  const afterMs = table.duration("after", SHORTEST_SILENCE_MS, LONGEST_SILENCE_MS) ?? null;
  // One heartbeat may be lost on the way.
  if (afterMs !== null && afterMs < 2 * intervalMs)
    throw new Fault(`${table.pathOf("after")} is less than two pauses between heartbeats`);
  return {
    afterMs,
    action: table.choice("action", ["suspend", "power-off"]) ?? "suspend",
    volumes: (table.list("volumes", MAPPING_COUNT, isName, "names of mappings") as string[] | undefined) ?? [],
  };
}

function readWitness(table: Table | undefined): WitnessConfig | null {
  if (table === undefined) return null;
  table.allow(["keys", "need", "missing"]);
  // Whether its id is that of its name and key is seen where it is used: that takes a digest.
  const isKey = (item: unknown) => typeof item === "string" && WITNESS_KEY.test(item);
  const keys = table.list("keys", WITNESS_COUNT, isKey, "verifier keys of witnesses") as string[] | undefined;
  if (keys === undefined || keys.length === 0) throw new Fault(`${table.pathOf("keys")} names no witness`);
  return {
    keys,
    need: table.number("need", 1, keys.length) ?? keys.length,
    missing: table.choice("missing", ["tell", "refuse"]) ?? "tell",
  };
}

function readVolume(table: Table, general: Pick<AgentConfig, "timeoutMs" | "trust">): VolumeConfig {
  table.allow(["deadline", "trust", "exec", "timeout", "newline", "refusal-status"]);
  const timeoutMs = table.duration("deadline", 1000) ?? general.timeoutMs;
  const trust = table.choice("trust", TRUSTS) ?? general.trust;
  const argv = table.list("exec", ARGUMENT_COUNT, (item) => typeof item === "string" && !item.includes("\0"), "texts");
  if (argv === undefined) {
    for (const name of ["timeout", "newline", "refusal-status"]) {
      if (table.has(name)) throw new Fault(`${table.pathOf(name)} means nothing without exec`);
    }
    return { timeoutMs, trust, command: null };
  }
  if (table.has("trust")) throw new Fault(`${table.pathOf("trust")} means nothing with exec`);
  const [program, ...args] = argv as string[];
  if (program === undefined || !/^(?:\/.*|[^/]+)$/s.test(program) || program.trim() === "") {
    throw new Fault(`${table.pathOf("exec")} does not begin with an absolute path or a program's name`);
  }
  const newline = table.choice("newline", ["keep", "strip"]) ?? "keep";
  const isStatus = (item: unknown) => Number.isInteger(item) && Number(item) >= 1 && Number(item) <= 255;
  const refusalStatuses = table.list("refusal-status", 255, isStatus, "exit statuses, 1 to 255") ?? [];
  return {
    timeoutMs,
    trust,
    command: {
      argv: [program, ...args],
      timeoutMs: table.duration("timeout", 100) ?? COMMAND_TIMEOUT_MS,
      stripNewline: newline === "strip",
      refusalStatuses: refusalStatuses as number[],
    },
  };
}

/** A TOML table that knows where it stands in the file. */
class Table {
  readonly #path: string;
  readonly #members: ReadonlyMap<string, unknown>;

  constructor(path: string, value: object) {
    this.#path = path;
    this.#members = new Map(Object.entries(value));
  }

  pathOf(name: string): string {
    const shown = /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name.slice(0, 80));
    return this.#path === "" ? shown : `${this.#path}.${shown}`;
  }

  names(): string[] {
    return [...this.#members.keys()];
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  allow(names: readonly string[]): void {
    const stranger = this.names().find((name) => !names.includes(name));
    if (stranger !== undefined) throw new Fault(`${this.pathOf(stranger)} is not known`);
  }

  table(name: string): Table | undefined {
    const value = this.#members.get(name);
    if (value === undefined) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) {
      throw new Fault(`${this.pathOf(name)} is not a table`);
    }
    return new Table(this.pathOf(name), value);
  }

  list(name: string, limit: number, accepts: (item: unknown) => boolean, what: string): unknown[] | undefined {
    const value = this.#members.get(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length > limit || !value.every(accepts)) {
      throw new Fault(`${this.pathOf(name)} is not a list of at most ${limit} ${what}`);
    }
    return value;
  }

  number(name: string, least: number, most: number): number | undefined {
    const value = this.#members.get(name);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw new Fault(`${this.pathOf(name)} is not a number from ${least} to ${most}`);
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#members.get(name);
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new Fault(`${this.pathOf(name)} is none of ${choices.join(", ")}`);
    return found;
  }

  /** In milliseconds. */
  duration(name: string, shortestMs: number, longestMs = HOUR_MS): number | undefined {
    const value = this.#members.get(name);
    if (value === undefined) return undefined;
    const durationMs = typeof value === "string" ? parseDuration(value, ["ms", "s", "m", "h"]) : null;
    if (durationMs === null) throw new Fault(`${this.pathOf(name)} is not a duration such as "20s"`);
    if (durationMs < shortestMs || durationMs > longestMs) {
      const longest = longestMs % HOUR_MS === 0 ? `${longestMs / HOUR_MS} h` : `${longestMs} ms`;
      throw new Fault(`${this.pathOf(name)} is not between ${shortestMs} ms and ${longest}`);
    }
    return durationMs;
  }
}
