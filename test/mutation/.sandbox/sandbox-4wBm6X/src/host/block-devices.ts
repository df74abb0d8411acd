// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json/json.ts";
import type { System } from "../system/port.ts";

const LIMIT_BYTES = 1 << 20;
const DEVICES_LIMIT_BYTES = 4 << 20;

/** Every LUKS volume that the system sees, by lsblk(8). */
export async function luksDevices(system: Pick<System, "run">): Promise<string[]> {
  const argv = ["lsblk", "--json", "--list", "--output", "PATH,FSTYPE"] as const;
  const { stdout } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS, outputLimitBytes: DEVICES_LIMIT_BYTES });
  const json = parseJson(stdout, "lsblk's output", { lengthBytes: DEVICES_LIMIT_BYTES });
  const rows = typeof json === "object" && json !== null && !Array.isArray(json) ? json["blockdevices"] : null;
  const paths = (Array.isArray(rows) ? rows : []).flatMap(pathOfLuks);
  return [...new Set(paths)];
}

function pathOfLuks(row: Json): string[] {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return [];
  return row["fstype"] === "crypto_LUKS" && typeof row["path"] === "string" ? [row["path"]] : [];
}

/**
 * Lists the UUIDs of the LUKS volumes that a device lies on, by lsblk(8). Empty where it is not
 * encrypted.
 * @throws NightlatchError boot/unsupported, json/*, system/*
 */
export async function luksBeneathDevice(system: Pick<System, "run">, device: string): Promise<string[]> {
  const argv = ["lsblk", "--json", "--inverse", "-o", "NAME,FSTYPE,UUID", device] as const;
  const uuids = new Set<string>();
  collect(
    parseJson(await programOutput(system, argv), "lsblk's output", { lengthBytes: LIMIT_BYTES, depth: 64 }),
    uuids,
  );
  return [...uuids];
}

/**
 * Lists the UUIDs of the LUKS volumes that a path's file system lies on, by findmnt(8) and
 * lsblk(8). Empty where it is not encrypted, and where it lies on no device, which requireKnownRoot
 * tells apart.
 * @throws NightlatchError boot/unsupported, json/*, system/*
 */
export async function luksBeneath(system: Pick<System, "run">, path: string): Promise<string[]> {
  const source = await sourceOf(system, path);
  if (source.startsWith("/dev/")) return luksBeneathDevice(system, source);
  // ostree mounts an image made of files as the root; the device that holds them is at /sysroot.
  const beneath = path === "/" ? await sourceOf(system, OSTREE_ROOT) : "";
  return beneath.startsWith("/dev/") ? luksBeneathDevice(system, beneath) : [];
}

const OSTREE_ROOT = "/sysroot";

/**
 * Refuses a root that lies on no block device (ZFS, an overlay, the network): whether a boot has to
 * open something for it cannot be told from here.
 * @throws NightlatchError boot/unsupported
 */
export async function requireKnownRoot(system: Pick<System, "run">): Promise<void> {
  const source = await sourceOf(system, "/");
  if (source.startsWith("/dev/") || (await sourceOf(system, OSTREE_ROOT)).startsWith("/dev/")) return;
  throw new NightlatchError("boot/unsupported", `the root (${source || "of no name"}) lies on no block device`, {
    meaning:
      "Whether it is encrypted, and what would open it at the next boot, is not known here. Nothing was changed.",
    remedy: "Reboot by systemctl reboot, and have somebody there who can type a passphrase.",
  });
}

async function sourceOf(system: Pick<System, "run">, path: string): Promise<string> {
  const argv = ["findmnt", "-n", "-v", "-o", "SOURCE", "--target", path] as const;
  return (await programOutput(system, argv)).toString("utf8").trim();
}

function collect(json: Json, into: Set<string>): void {
  if (typeof json !== "object" || json === null) return;
  if (!Array.isArray(json) && json["fstype"] === "crypto_LUKS" && typeof json["uuid"] === "string")
    into.add(json["uuid"]);
  for (const child of Object.values(json)) collect(child, into);
}

/**
 * Runs a program that only tells something, and gives what it prints.
 * @throws NightlatchError boot/unsupported where it fails, system/*
 */
export async function programOutput(
  system: Pick<System, "run">,
  argv: readonly [string, ...string[]],
): Promise<Buffer> {
  const { status, stdout, stderr } = await system.run({
    argv,
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: LIMIT_BYTES,
  });
  if (status === 0) return stdout;
  const said = stderr.toString("utf8").trim().slice(0, 200);
  throw new NightlatchError("boot/unsupported", `${argv[0]} ended with status ${status}: ${said}`, {
    meaning: "Nothing was changed.",
  });
}
