import type { AgentConfig } from "../../formats/own/agent-config.ts";
import { listLuksMappings } from "../../host/luks-mappings.ts";
import type { System } from "../../system/port.ts";
import type { TetherFacts } from "../judge/facts.ts";
import { HEARTBEAT_UNIT } from "./heartbeat.ts";
import { readUnits } from "./units.ts";

const UNITS = [HEARTBEAT_UNIT, "nightlatch-tether.service"];

/**
 * What agent.toml says of a tether, and whether systemd runs what it takes. Null where there is
 * none.
 * @param known names of the volumes in crypttab
 * @param hasSystemd whether systemd runs here; its units are not asked for otherwise
 * @throws NightlatchError system/*, file/*
 */
export async function readTether(
  system: Pick<System, "run" | "listDirectory" | "readFileIfPresent">,
  { tether }: AgentConfig,
  known: readonly string[],
  hasSystemd: boolean,
): Promise<TetherFacts | null> {
  if (tether === null) return null;
  const { action, volumes } = tether;
  const open = volumes.length === 0 ? [] : (await listLuksMappings(system)).map(({ name }) => name);
  const strangers = volumes.filter((name) => !known.includes(name) && !open.includes(name));
  const states = hasSystemd ? await readUnits(system, UNITS) : new Map();
  const idle = [...states].filter(([, { isEnabled, isActive }]) => !isEnabled || !isActive).map(([unit]) => unit);
  return { action, volumes, strangers, idle };
}
