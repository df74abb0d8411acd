import { isError } from "../../core/errors.ts";
import type { Heard } from "../../formats/own/heartbeat.ts";
import { buildHeardServers } from "../../formats/own/tether.ts";
import { readHeard } from "../../host/heard-servers.ts";
import type { System } from "../../system/port.ts";

/** What it takes to keep what servers say. */
type KeepPower = Pick<System, "readFileIfPresent" | "writeFile" | "upMs" | "stat">;

/** Takes what a server has answered to a heartbeat, by its own word. */
type Listener = (url: string, heard: Heard) => Promise<void>;

const FILE_MODE = 0o600;

/**
 * Keeps what servers answer where the tether reads it; null where its folder is not there, which
 * the unit makes. It does not ask whether there is a tether: a slip in agent.toml must not look
 * like the silence of every server. What an earlier run of the sender has kept
 * goes on: since when a server has said `lock` is not forgotten by a restart. Where it cannot be
 * written that is told once; heartbeats go on, and the tether hears silence.
 */
export async function keepHeard(
  system: KeepPower,
  path: string,
  log: (text: string) => void,
): Promise<Listener | null> {
  if ((await system.stat(path.slice(0, path.lastIndexOf("/")))) === null) return null;
  const known = new Map((await readHeard(system, path)).map((one) => [one.url, one]));
  let told = "";
  let last: Promise<void> = Promise.resolve();
  const write = async () => {
    try {
      await system.writeFile(path, buildHeardServers([...known.values()]), FILE_MODE);
    } catch (error) {
      if (!isError(error)) throw error;
      if (told !== error.message) log(`the tether is not told what servers say: ${error.message} [${error.code}]`);
      told = error.message;
    }
  };
  return (url, { isLocked, leaseSeconds = 0 }) => {
    const heardMs = system.upMs();
    const lockedMs = isLocked ? (known.get(url)?.lockedMs ?? heardMs) : null;
    known.set(url, { url, heardMs, lockedMs, leaseMs: leaseSeconds > 0 ? heardMs + leaseSeconds * 1000 : null });
    last = last.then(write); // one after the other: the last one is what stays
    return last;
  };
}
