// @ts-nocheck
import { type CrypttabEntry, devicePathOf, findOption } from "./crypttab.ts";
import type { UnitNeeds } from "./unit-path.ts";

/** A file on a device that is mounted for it: `PATH:DEVICE` of crypttab(5). */
interface Place {
  readonly path: string;
  /** As udev names it; null where the path is the system's own. */
  readonly device: string | null;
}

/**
 * Reads a key or a header as systemd's split_keyspec does: what follows the last colon counts where
 * it is a device.
 */
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

/**
 * Which of systemd's kinds of volume it is: of several options the last counts; without one it is
 * LUKS.
 */
type VolumeKind = "luks" | "plain" | "tcrypt" | "bitlk";

/** Tells which kind of volume a line opens. */
export function kindOf({ options }: CrypttabEntry): VolumeKind {
  return options.map(({ name }) => KINDS.get(name)).findLast((kind) => kind !== undefined) ?? "luks";
}

const KINDS: ReadonlyMap<string, VolumeKind> = new Map([
  ["luks", "luks"],
  ["plain", "plain"],
  ["swap", "plain"],
  ["tmp", "plain"],
  ["bitlk", "bitlk"],
  ["tcrypt", "tcrypt"],
  ["tcrypt-hidden", "tcrypt"],
  ["tcrypt-system", "tcrypt"],
  ["tcrypt-keyfile", "tcrypt"],
]);

/**
 * Whether a line's volume has a header to look at. Swap with a new key at each boot, and what is no
 * LUKS at all, have none.
 */
export function isLuksVolume(entry: CrypttabEntry): boolean {
  return kindOf(entry) === "luks" && !isRandomKey(entry.key);
}

/** Lists what a volume's unit waits for: its device or image, key and header. */
export function needsOfVolume(entry: CrypttabEntry): UnitNeeds {
  const places = [{ path: entry.device, device: null }, ...placesOf(entry)];
  const named = places.map(({ path, device }) => device ?? devicePathOf(path));
  const isDevice = (path: string) => path.startsWith("/dev/");
  return {
    devices: named.filter((path) => isDevice(path) && path !== "/dev/null" && !isRandomKey(path)),
    paths: named.filter((path) => path.startsWith("/") && !isDevice(path)),
    units: [],
  };
}
