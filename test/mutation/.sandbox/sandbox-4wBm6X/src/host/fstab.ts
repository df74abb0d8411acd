// @ts-nocheck
import { FSTAB_LIMIT_BYTES, type FstabEntry, parseFstab } from "../formats/systemd/fstab.ts";
import type { System } from "../system/port.ts";

const SYSTEM_FSTAB = "/etc/fstab";

/**
 * Reads the lines of a fstab. One that is not there has none.
 * @throws NightlatchError file/denied, file/too-large, file/io
 */
export async function readFstab(
  system: Pick<System, "readFileIfPresent">,
  path: string = SYSTEM_FSTAB,
): Promise<FstabEntry[]> {
  return parseFstab((await system.readFileIfPresent(path, FSTAB_LIMIT_BYTES)) ?? Buffer.alloc(0));
}
