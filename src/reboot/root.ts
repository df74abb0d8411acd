import { luksBeneathDevice, programOutput } from "../boot/luks-beneath.ts";
import type { System } from "../system/port.ts";

/** UUIDs of the LUKS volumes that the running root lies on, by findmnt(8) and lsblk(8); empty where it is not encrypted. */
export function luksBeneathRoot(power: Pick<System, "run">): Promise<string[]> {
  return luksBeneath(power, "/");
}

/** The same of the file system that a path lies on. */
export async function luksBeneath(power: Pick<System, "run">, path: string): Promise<string[]> {
  const argv = ["findmnt", "-n", "-v", "-o", "SOURCE", "--target", path] as const;
  const source = (await programOutput(power, argv)).toString("utf8").trim();
  return source.startsWith("/dev/") ? luksBeneathDevice(power, source) : [];
}
