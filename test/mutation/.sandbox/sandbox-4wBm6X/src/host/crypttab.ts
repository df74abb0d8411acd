// @ts-nocheck
import {
  CRYPTTAB_LIMIT_BYTES,
  type Crypttab,
  type CrypttabEntry,
  devicePathOf,
  parseCrypttab,
} from "../formats/systemd/crypttab.ts";
import { placeOf } from "../formats/systemd/crypttab-places.ts";
import type { System } from "../system/port.ts";

/** The table of the volumes that the system opens; an initramfs is made with some of its lines. */
export const SYSTEM_CRYPTTAB = "/etc/crypttab";

/**
 * Reads a crypttab as systemd reads it. One that is not there has no volumes.
 * @throws NightlatchError file/denied, file/too-large, file/io
 */
export async function readCrypttab(
  system: Pick<System, "readFileIfPresent">,
  path: string = SYSTEM_CRYPTTAB,
): Promise<Crypttab> {
  return parseCrypttab((await system.readFileIfPresent(path, CRYPTTAB_LIMIT_BYTES)) ?? Buffer.alloc(0));
}

/** What lies where systemd looks for a volume's key. */
export interface KeyPlace {
  readonly path: string;
  readonly kind: "file" | "socket" | "other";
}

/** Where systemd looks for a key that crypttab does not name, in this order (crypttab(5)). */
const KEY_FOLDERS = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"];

/**
 * Finds what systemd will take for a volume's key: what the third field names, else a file or
 * socket of the volume's name in one of two folders. Null where nothing is there now, or where the
 * key lies on a device of its own (`PATH:DEVICE`), which nobody looks into.
 * @throws NightlatchError file/denied, file/io
 */
export async function findKey(
  system: Pick<System, "stat">,
  { key, volume }: Pick<CrypttabEntry, "key" | "volume">,
): Promise<KeyPlace | null> {
  for (const path of key === null ? KEY_FOLDERS.map((folder) => `${folder}/${volume}.key`) : placesOnSystem(key)) {
    const facts = await system.stat(path);
    if (facts !== null) return { path, kind: facts.kind === "socket" || facts.kind === "file" ? facts.kind : "other" };
  }
  return null;
}

function placesOnSystem(key: string): string[] {
  const { path, device } = placeOf(key);
  return device === null ? [devicePathOf(path)] : [];
}
