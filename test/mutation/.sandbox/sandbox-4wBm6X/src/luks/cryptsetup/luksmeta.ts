// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { CLEVIS_UUID } from "../../formats/luks/luksmeta.ts";
import type { Exit, System } from "../../system/port.ts";
import { firstLine, type Volume } from "./cryptsetup.ts";

const TIMEOUT_MS = 60_000;

/**
 * Writes an empty table to the hole. The caller has seen that there is none, for -f asks nobody.
 * @throws NightlatchError luks/refused
 */
export async function initLuksmeta(system: Pick<System, "run">, volume: Volume): Promise<void> {
  await runLuksmeta(system, volume, ["init", "-f", "-d", volume.device]);
}

/**
 * Writes the data, then the table that points to it.
 * @throws NightlatchError luks/refused
 */
export async function saveLuksmeta(
  system: Pick<System, "run">,
  volume: Volume,
  keyslot: number,
  data: Uint8Array,
): Promise<void> {
  await runLuksmeta(system, volume, ["save", "-d", volume.device, "-s", String(keyslot), "-u", CLEVIS_UUID], data);
}

/**
 * Wipes an entry of clevis's, and no other; one that is gone already is fine.
 * @throws NightlatchError luks/refused
 */
export async function wipeLuksmeta(system: Pick<System, "run">, volume: Volume, keyslot: number): Promise<void> {
  await runLuksmeta(system, volume, ["wipe", "-f", "-d", volume.device, "-s", String(keyslot), "-u", CLEVIS_UUID]);
}

async function runLuksmeta(
  system: Pick<System, "run">,
  volume: Volume,
  args: readonly string[],
  stdin?: Uint8Array,
): Promise<void> {
  const exit = await system.run({
    argv: ["luksmeta", ...args],
    timeoutMs: TIMEOUT_MS,
    ...(stdin === undefined ? {} : { stdin }),
    ...(volume.lock === undefined ? {} : { lock: volume.lock }),
  });
  if (exit.status !== 0) throw failureOf(exit, volume.device);
}

/** luksmeta ends with statuses of sysexits.h. */
function failureOf(exit: Exit, device: string): NightlatchError {
  if (exit.status === null) {
    return new NightlatchError("luks/tool-died", `${device}: luksmeta was ended by ${exit.signal ?? "a signal"}`);
  }
  const said = firstLine(exit.stderr);
  return new NightlatchError("luks/refused", `${device}: luksmeta refused (status ${exit.status}): ${said}`);
}
