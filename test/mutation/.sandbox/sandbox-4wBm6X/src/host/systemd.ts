// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import type { Exit, System } from "../system/port.ts";

type Power = Pick<System, "run">;
type Argv = readonly [string, ...string[]];

/**
 * Asks systemd something. A status other than 0 is an answer, too.
 * @throws NightlatchError system/*
 */
export function askSystemd(system: Power, argv: Argv): Promise<Exit> {
  return system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
}

/**
 * Has systemd do something, and waits until it is done.
 * @param meaning what it means for the person if systemd refuses
 * @throws NightlatchError reboot/blocked, system/*
 */
export async function orderSystemd(
  system: Power,
  argv: Argv,
  { meaning, timeoutMs = SMALL_PROGRAM_MS }: { readonly meaning?: string; readonly timeoutMs?: number } = {},
): Promise<void> {
  const { status, stderr } = await system.run({ argv, timeoutMs });
  if (status === 0) return;
  const said = stderr.toString("utf8").trim().slice(0, 300);
  throw new NightlatchError(
    "reboot/blocked",
    `${argv.join(" ")} ended with status ${status}: ${said}`,
    meaning === undefined ? {} : { meaning },
  );
}
