import { type CrypttabEntry, findOption } from "../../formats/systemd/crypttab.ts";
import { isLuksVolume } from "../../formats/systemd/crypttab-places.ts";
import { findInside } from "../judge/stage.ts";
import type { EarlyBoot } from "./early-boot.ts";

/** What initramfs-tools passes over, and systemd takes for a volume without a header. */
const PASSED_OVER: ReadonlySet<string> = new Set(["swap", "tmp"]);

/**
 * Whether a line's volume has a LUKS header to look at, in whichever way it is opened. For systemd
 * `swap` and `tmp` mean plain mode. They are "ignored for initramfs devices" (crypttab(5) of
 * Debian's cryptsetup): what its initramfs opens by `luks,swap` is LUKS.
 */
export function hasHeader(entry: CrypttabEntry, { next }: Pick<EarlyBoot, "next">): boolean {
  if (isLuksVolume(entry)) return true;
  if ((next?.facts?.generator ?? "initramfs-tools") !== "initramfs-tools") return false;
  // A mark that the image does not have yet counts too: what is missing there is to be told.
  const isMarked = findOption(entry, "initramfs") !== undefined;
  const isInside = findInside({ entry, uuid: null }, next?.volumes ?? []) !== null;
  const heeded = entry.options.filter(({ name }) => !PASSED_OVER.has(name));
  return (isMarked || isInside) && isLuksVolume({ ...entry, options: heeded });
}
