// @ts-nocheck
import { unknown } from "./budget.ts";

/**
 * Devices have names of GRUB's own. One that `search` found gets a name from which it can be told
 * again.
 */
const BY_UUID = "nightlatch:uuid=";
const ELSE = "nightlatch:";

/** The device that `search` found, by what it looked for. */
export const deviceByUuid = (uuid: string): string => `${BY_UUID}${uuid}`;
/** The device that `search` found by a label or a file. */
export const deviceBy = (kind: "label" | "file", what: string): string => `${ELSE}${kind}=${what}`;

/** Splits a path into the device in parentheses in front of it, or null, and the rest. */
export function splitDevice(path: string): { readonly device: string | null; readonly path: string } {
  const end = path.startsWith("(") ? path.indexOf(")") : -1;
  return end < 0 ? { device: null, path } : { device: path.slice(1, end), path: path.slice(end + 1) };
}

/** Reads the UUID of the file system on a device that `search` found. Null for another device. */
export function uuidOfDevice(device: string): string | null {
  return device.startsWith(BY_UUID) ? device.slice(BY_UUID.length) : null;
}

/**
 * Refuses text in which a device's name stands that GRUB alone knows.
 * @throws NightlatchError grub/unknown
 */
export function requireNoDevice(text: string, what: string): void {
  if (text.includes(ELSE)) throw unknown(`${what} the name of a device, which is not known here`);
}
