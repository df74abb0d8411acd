// @ts-nocheck
import { resolve } from "node:path";
import { SMALL_PROGRAM_MS } from "../../../core/deadlines.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { isDetached } from "../../../luks/header/detached.ts";
import { readVolumeHeader } from "../../../luks/header/header.ts";
import type { System } from "../../../system/port.ts";

/** How a line of crypttab names a volume. */
export interface CrypttabSource {
  /** The second field; `DATA` where only the header is known. */
  readonly source: string;
  /** For header=; null where header and data lie together. */
  readonly header: string | null;
}

type Power = Pick<System, "run" | "stat" | "readAt">;

/** Stands for what a person has to put there. */
export const UNKNOWN_DATA = "DATA";

/**
 * UUID= stays the same when disks change places. It names block devices only, and only those that
 * hold their own header: a file is named by its path, the data of a detached header by what udev
 * knows it by.
 * @param device what holds the header, or with `header` the data
 * @throws NightlatchError usage/wrong for a path that no line of crypttab can hold, and as
 * readVolumeHeader
 */
export async function nameSource(system: Power, device: string, header: string | null): Promise<CrypttabSource> {
  if (header !== null) return { source: await lastingName(system, device), header: requirePath(header, /[\s\\,:]/) };
  const read = await readVolumeHeader(system, device);
  if (await isDetached(system, device, read)) {
    return { source: UNKNOWN_DATA, header: requirePath(device, /[\s\\,:]/) };
  }
  const facts = await system.stat(device);
  return { source: facts?.kind === "file" ? requirePath(device, /[\s\\]/) : `UUID=${read.uuid}`, header: null };
}

/** /dev/sdb may be another disk at the next boot. */
async function lastingName(system: Power, device: string): Promise<string> {
  const path = requirePath(device, /[\s\\]/);
  if ((await system.stat(path))?.kind !== "block" || path.startsWith("/dev/disk/by-")) return path;
  const { status, stdout } = await system.run({
    argv: ["udevadm", "info", "--query=symlink", "--root", "--name", path],
    timeoutMs: SMALL_PROGRAM_MS,
  });
  const links = status === 0 ? stdout.toString("utf8").trim().split(/\s+/) : [];
  const lasting = ["/dev/disk/by-partuuid/", "/dev/disk/by-id/"].map((folder) =>
    links.find((link) => link.startsWith(folder)),
  );
  return lasting.find((link) => link !== undefined) ?? path;
}

/**
 * crypttab(5) has no quotes, and separates options by commas; header= separates a path from its
 * device by a colon.
 */
function requirePath(path: string, cannotHold: RegExp): string {
  const absolute = resolve(path);
  const found = cannotHold.exec(absolute)?.[0];
  if (found === undefined) return absolute;
  throw new NightlatchError(
    "usage/wrong",
    `no line of crypttab can name ${absolute}: ${JSON.stringify(found)} parts it`,
    {
      meaning: "Nothing was changed.",
      remedy: "Rename it, or make a link to it whose path has letters, digits, dashes and dots alone, and name that.",
    },
  );
}
