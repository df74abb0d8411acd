import { NightlatchError } from "../core/errors.ts";
import { CLEVIS_UUID, type Hole, type LuksmetaEntry } from "../formats/luksmeta.ts";
import type { Exit, System } from "../system/port.ts";
import { firstLine, type Volume } from "./cryptsetup.ts";

const DEADLINE_MS = 60_000;
const PAGE_BYTES = 4096;

/** Writes an empty table to the hole. The caller has seen that there is none, for -f asks nobody. @throws NightlatchError luks/refused */
export async function initLuksmeta(power: Pick<System, "run">, volume: Volume): Promise<void> {
  await runLuksmeta(power, volume, ["init", "-f", "-d", volume.device]);
}

/** Writes the data, then the table that points to it. @throws NightlatchError luks/refused */
export async function saveLuksmeta(
  power: Pick<System, "run">,
  volume: Volume,
  keyslot: number,
  data: Uint8Array,
): Promise<void> {
  await runLuksmeta(power, volume, ["save", "-d", volume.device, "-s", String(keyslot), "-u", CLEVIS_UUID], data);
}

/** Only an entry of clevis's; one that is gone already is fine. @throws NightlatchError luks/refused */
export async function wipeLuksmeta(power: Pick<System, "run">, volume: Volume, keyslot: number): Promise<void> {
  await runLuksmeta(power, volume, ["wipe", "-f", "-d", volume.device, "-s", String(keyslot), "-u", CLEVIS_UUID]);
}

/**
 * Whether so much data finds a gap of whole pages, first fit as luksmeta does it. Asked beforehand, because luksmeta before
 * version 10 writes past the hole and into the encrypted data when it does not (CVE-2025-11568).
 */
export function hasRoom(hole: Hole, entries: readonly LuksmetaEntry[], lengthBytes: number): boolean {
  const pages = (bytes: number) => Math.ceil(bytes / PAGE_BYTES);
  const taken = entries.map((entry) => {
    const first = Math.floor((entry.offsetBytes - hole.offsetBytes) / PAGE_BYTES);
    return { first, end: first + pages(entry.lengthBytes) };
  });
  const needed = pages(lengthBytes);
  for (let first = 1; first + needed <= pages(hole.lengthBytes); first++) {
    if (taken.every((entry) => first + needed <= entry.first || first >= entry.end)) return true;
  }
  return false;
}

async function runLuksmeta(
  power: Pick<System, "run">,
  volume: Volume,
  args: readonly string[],
  stdin?: Uint8Array,
): Promise<void> {
  const exit = await power.run({
    argv: ["luksmeta", ...args],
    deadlineMs: DEADLINE_MS,
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
