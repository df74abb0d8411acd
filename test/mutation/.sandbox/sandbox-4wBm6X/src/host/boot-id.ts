// @ts-nocheck
import type { System } from "../system/port.ts";

/** The running boot's id, which no other boot has (random(4)). */
export async function bootId(system: Pick<System, "readFile">): Promise<string> {
  return (await system.readFile("/proc/sys/kernel/random/boot_id", 64)).toString("latin1").trim();
}
