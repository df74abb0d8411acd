// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { type CrypttabEntry, devicePathOf, headerPathOf } from "../../../formats/systemd/crypttab.ts";
import { readVolumeHeader } from "../../../luks/header/header.ts";
import type { System } from "../../../system/port.ts";

/**
 * The line of crypttab for a device, whichever of the device's names each of them uses; null where
 * there is none.
 */
export async function findEntry(
  system: Pick<System, "realPath" | "readAt">,
  device: string,
  entries: readonly CrypttabEntry[],
): Promise<CrypttabEntry | null> {
  const byPath = entries.find((entry) => headerPathOf(entry) === device || entry.device === device);
  if (byPath !== undefined) return byPath;
  const real = await system.realPath(device);
  for (const entry of entries) {
    for (const path of new Set([headerPathOf(entry), devicePathOf(entry.device)])) {
      if (real !== null && (await system.realPath(path)) === real) return entry;
    }
  }
  return findByUuid(system, device, entries);
}

/** Where udev made no link for it, as in a container or of an image file. */
async function findByUuid(system: Pick<System, "readAt">, device: string, entries: readonly CrypttabEntry[]) {
  try {
    const { uuid } = await readVolumeHeader(system, device);
    const named = `/dev/disk/by-uuid/${uuid.toLowerCase()}`;
    return entries.find((entry) => devicePathOf(entry.device).toLowerCase() === named) ?? null;
  } catch (error) {
    if (error instanceof NightlatchError) return null; // told when the volume is examined
    throw error;
  }
}
