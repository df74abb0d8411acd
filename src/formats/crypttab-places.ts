import { type CrypttabEntry, devicePathOf, findOption } from "./crypttab.ts";

/** A file on a device that is mounted for it: `PATH:DEVICE` of crypttab(5). */
export interface Place {
  readonly path: string;
  /** As udev names it; null where the path is the system's own. */
  readonly device: string | null;
}

/** As systemd's split_keyspec reads the key and the header: what follows the last colon counts where it is a device. */
export function placeOf(text: string): Place {
  const colon = text.lastIndexOf(":");
  const device = colon < 0 ? "" : devicePathOf(text.slice(colon + 1));
  return device.startsWith("/") ? { path: text.slice(0, colon), device } : { path: text, device: null };
}

/** What crypttab names beside the device: the key, the header. */
function placesOf(entry: CrypttabEntry): Place[] {
  const header = findOption(entry, "header")?.value;
  return [entry.key, header].flatMap((text) => (text == null ? [] : [placeOf(text)]));
}

const RANDOM: ReadonlySet<string> = new Set(["/dev/urandom", "/dev/random", "/dev/hw_random", "/dev/hwrng"]);

/** Whether a key is new at each boot. */
export function isRandomKey(key: string | null): boolean {
  return key !== null && RANDOM.has(key);
}

/** Devices that the volume's unit waits for. */
export function devicesOf(entry: CrypttabEntry): string[] {
  const named = [devicePathOf(entry.device), ...placesOf(entry).map(({ path, device }) => device ?? devicePathOf(path))];
  return named.filter((path) => path.startsWith("/dev/") && path !== "/dev/null" && !RANDOM.has(path));
}

/** Files for which the volume's unit needs what is mounted. */
export function pathsOf(entry: CrypttabEntry): string[] {
  const named = [devicePathOf(entry.device), ...placesOf(entry).flatMap(({ path, device }) => (device === null ? [devicePathOf(path)] : []))];
  return named.filter((path) => path.startsWith("/") && !path.startsWith("/dev/"));
}
