import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { parseUnitProperties, UNIT_PROPERTIES_LIMIT_BYTES } from "../../formats/systemd/unit-properties.ts";
import type { System } from "../../system/port.ts";

/** Whether a unit is started with the machine, and whether it runs now. */
interface UnitState {
  readonly isEnabled: boolean;
  readonly isActive: boolean;
}

/**
 * Asks systemd for units, by their names; one that it does not know is neither enabled nor active.
 * @throws NightlatchError system/*
 */
export async function readUnits(
  system: Pick<System, "run">,
  units: readonly string[],
): Promise<ReadonlyMap<string, UnitState>> {
  const { stdout } = await system.run({
    argv: ["systemctl", "show", "--property=Id,UnitFileState,ActiveState", "--", ...units],
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: UNIT_PROPERTIES_LIMIT_BYTES,
  });
  const shown = parseUnitProperties(stdout.toString("utf8"));
  return new Map(
    units.map((unit) => {
      const properties = shown.find((one) => one.get("Id") === unit);
      const isEnabled = properties?.get("UnitFileState") === "enabled";
      return [unit, { isEnabled, isActive: properties?.get("ActiveState") === "active" }];
    }),
  );
}
