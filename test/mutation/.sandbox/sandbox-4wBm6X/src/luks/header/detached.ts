// @ts-nocheck
import type { System } from "../../system/port.ts";
import type { VolumeHeader } from "./header.ts";

/**
 * Tells whether what was read is a header alone, with the data on another device: one made with
 * `cryptsetup luksFormat --header`, or a backup.
 */
export async function isDetached(system: Pick<System, "stat">, path: string, header: VolumeHeader): Promise<boolean> {
  const offset =
    header.version === 1
      ? header.payloadOffsetBytes
      : Math.min(...[...header.segments.values()].map(({ offsetBytes }) => offsetBytes));
  if (offset === 0) return true;
  const facts = await system.stat(path);
  return facts?.kind === "file" && facts.sizeBytes <= offset;
}
