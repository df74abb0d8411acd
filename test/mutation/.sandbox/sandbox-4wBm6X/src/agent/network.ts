// @ts-nocheck
import type { System } from "../system/port.ts";

const LOOK_EVERY_MS = 250;
const LIMIT_BYTES = 256 << 10;

/**
 * Waits for the pause to end, or for the machine's routes to change: at boot the network comes up
 * while a source's pause runs, and the volume need not wait for the end of that.
 * @returns true where the routes changed
 */
export async function pauseOrNetwork(
  system: Pick<System, "sleep" | "readFile" | "monotonicMs">,
  pauseMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const endMs = system.monotonicMs() + pauseMs;
  const before = await readRoutes(system);
  for (;;) {
    const leftMs = endMs - system.monotonicMs();
    if (leftMs <= 0 || signal.aborted) return false;
    await system.sleep(Math.min(LOOK_EVERY_MS, leftMs), signal);
    if ((await readRoutes(system)) !== before) return true;
  }
}

/**
 * Reads the routes from /proc (proc_net(5)): destinations, gateways and interfaces, without the
 * counters beside them.
 */
async function readRoutes(system: Pick<System, "readFile">): Promise<string> {
  const [four, six] = await Promise.all(
    ["/proc/net/route", "/proc/net/ipv6_route"].map(async (path) => {
      try {
        return (await system.readFile(path, LIMIT_BYTES)).toString("latin1").split("\n");
      } catch {
        return []; // no IPv6, or more routes than are worth watching
      }
    }),
  );
  const columns = (line: string, picked: readonly number[]) => {
    const fields = line.trim().split(/\s+/);
    return picked.map((index) => fields[index]).join(" ");
  };
  return JSON.stringify([
    (four ?? []).map((line) => columns(line, [0, 1, 2, 7])).sort(),
    (six ?? []).map((line) => columns(line, [0, 1, 4, 9])).sort(),
  ]);
}
