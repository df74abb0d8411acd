import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import type { AgentConfig } from "../../formats/own/agent-config.ts";
import { parseUnitProperties, UNIT_PROPERTIES_LIMIT_BYTES } from "../../formats/systemd/unit-properties.ts";
import type { System } from "../../system/port.ts";
import type { TetherFacts } from "../judge/facts.ts";

const UNITS = ["nightlatch-heartbeat.service", "nightlatch-tether.service"];

/**
 * What agent.toml says of a tether, and whether systemd runs what it takes. Null where there is
 * none.
 * @param hasSystemd whether systemd runs here; its units are not asked for otherwise
 * @throws NightlatchError system/*
 */
export async function readTether(
  system: Pick<System, "run">,
  { tether }: AgentConfig,
  hasSystemd: boolean,
): Promise<TetherFacts | null> {
  if (tether === null) return null;
  const { action, volumes } = tether;
  if (!hasSystemd) return { action, volumes, idle: [] };
  const { stdout } = await system.run({
    argv: ["systemctl", "show", "--property=Id,UnitFileState,ActiveState", "--", ...UNITS],
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: UNIT_PROPERTIES_LIMIT_BYTES,
  });
  const shown = parseUnitProperties(stdout.toString("utf8"));
  const runs = (unit: string) => {
    const properties = shown.find((one) => one.get("Id") === unit);
    return properties?.get("UnitFileState") === "enabled" && properties.get("ActiveState") === "active";
  };
  return { action, volumes, idle: UNITS.filter((unit) => !runs(unit)) };
}
