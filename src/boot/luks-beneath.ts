import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json.ts";
import type { System } from "../system/port.ts";

const LIMIT_BYTES = 1 << 20;

/** UUIDs of the LUKS volumes that a device lies on, by lsblk(8); empty where it is not encrypted. */
export async function luksBeneathDevice(power: Pick<System, "run">, device: string): Promise<string[]> {
  const argv = ["lsblk", "--json", "--inverse", "-o", "NAME,FSTYPE,UUID", device] as const;
  const uuids = new Set<string>();
  collect(
    parseJson(await programOutput(power, argv), "lsblk's output", { lengthBytes: LIMIT_BYTES, depth: 64 }),
    uuids,
  );
  return [...uuids];
}

/** The same of the file system that a path lies on, by findmnt(8) too. */
export async function luksBeneath(power: Pick<System, "run">, path: string): Promise<string[]> {
  const argv = ["findmnt", "-n", "-v", "-o", "SOURCE", "--target", path] as const;
  const source = (await programOutput(power, argv)).toString("utf8").trim();
  return source.startsWith("/dev/") ? luksBeneathDevice(power, source) : [];
}

function collect(json: Json, into: Set<string>): void {
  if (typeof json !== "object" || json === null) return;
  if (!Array.isArray(json) && json["fstype"] === "crypto_LUKS" && typeof json["uuid"] === "string")
    into.add(json["uuid"]);
  for (const child of Object.values(json)) collect(child, into);
}

/** What a program that only tells prints. @throws NightlatchError boot/unsupported where it fails */
export async function programOutput(power: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<Buffer> {
  const { status, stdout, stderr } = await power.run({
    argv,
    deadlineMs: SMALL_PROGRAM_MS,
    outputLimitBytes: LIMIT_BYTES,
  });
  if (status === 0) return stdout;
  const said = stderr.toString("utf8").trim().slice(0, 200);
  throw new NightlatchError("boot/unsupported", `${argv[0]} ended with status ${status}: ${said}`, {
    meaning: "Nothing was changed.",
  });
}
