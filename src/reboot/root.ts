import { luksBeneath, programOutput } from "../boot/luks-beneath.ts";
import type { System } from "../system/port.ts";

/** UUIDs of the LUKS volumes that the running root lies on, by findmnt(8) and lsblk(8); empty where it is not encrypted. */
export async function luksBeneathRoot(power: Pick<System, "run">): Promise<string[]> {
  const argv = ["findmnt", "-n", "-v", "-o", "SOURCE", "/"] as const;
  const source = (await programOutput(power, argv)).toString("utf8").trim();
  return source.startsWith("/dev/") ? luksBeneath(power, source) : [];
}
