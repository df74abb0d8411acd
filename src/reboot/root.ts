import { NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json.ts";
import type { System } from "../system/port.ts";

const LIMIT_BYTES = 1 << 20;

/** UUIDs of the LUKS volumes that the running root lies on, by findmnt(8) and lsblk(8); empty where it is not encrypted. */
export function luksBeneathRoot(power: Pick<System, "run">): Promise<string[]> {
  return luksBeneath(power, "/");
}

/** The same of the file system that a path lies on. */
export async function luksBeneath(power: Pick<System, "run">, path: string): Promise<string[]> {
  const argv = ["findmnt", "-n", "-v", "-o", "SOURCE", "--target", path] as const;
  const source = (await output(power, argv)).toString("utf8").trim();
  if (!source.startsWith("/dev/")) return [];
  const text = await output(power, ["lsblk", "--json", "--inverse", "-o", "NAME,FSTYPE,UUID", source]);
  const uuids = new Set<string>();
  collect(parseJson(text, "lsblk's output", { lengthBytes: LIMIT_BYTES, depth: 64 }), uuids);
  return [...uuids];
}

function collect(json: Json, into: Set<string>): void {
  if (typeof json !== "object" || json === null) return;
  if (!Array.isArray(json) && json["fstype"] === "crypto_LUKS" && typeof json["uuid"] === "string")
    into.add(json["uuid"]);
  for (const child of Object.values(json)) collect(child, into);
}

async function output(power: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<Buffer> {
  const { status, stdout, stderr } = await power.run({ argv, deadlineMs: 20_000, outputLimitBytes: LIMIT_BYTES });
  if (status === 0) return stdout;
  const said = stderr.toString("utf8").trim().slice(0, 200);
  throw new NightlatchError("boot/unsupported", `${argv[0]} ended with status ${status}: ${said}`, {
    meaning: "Nothing was changed.",
  });
}
