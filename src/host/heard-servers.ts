import { type HeardServer, parseHeardServers, TETHER_FILE_BYTES } from "../formats/own/tether.ts";
import type { System } from "../system/port.ts";

/**
 * Reads what servers have answered to this machine's heartbeats, which their sender keeps; empty
 * where there is nothing, or nothing that can be read.
 */
export async function readHeard(system: Pick<System, "readFileIfPresent">, path: string): Promise<HeardServer[]> {
  const bytes = await system.readFileIfPresent(path, TETHER_FILE_BYTES);
  return (bytes === null ? null : parseHeardServers(bytes)) ?? [];
}
