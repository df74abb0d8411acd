// @ts-nocheck
import type { Server } from "node:http";
import { dirname } from "node:path";
import { NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import { listenPrivately, openToGroup } from "../../system/unix/listen.ts";

/**
 * Listens on a Unix socket that only root, the server's own user and the operators' group can
 * reach.
 * @throws NightlatchError admin/socket
 */
export async function listenOnSocket(
  system: Pick<System, "stat" | "makeDirectory">,
  server: Server,
  path: string,
  owner: { readonly uid: number; readonly operatorGroup: number | null },
): Promise<void> {
  await requireSafeFolder(system, dirname(path), owner.uid);
  try {
    await listenPrivately(server, path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw unusable(path, PROBLEMS[code] ?? code);
  }
  if (owner.operatorGroup === null) return;
  try {
    openToGroup(path, owner.uid, owner.operatorGroup);
  } catch (error) {
    // A server that is not root and not of that group cannot hand it over. Then its own user
    // administers alone.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
  }
}

/**
 * Refuses a folder that others may write to: they could put a socket of theirs in place of ours.
 */
async function requireSafeFolder(
  system: Pick<System, "stat" | "makeDirectory">,
  folder: string,
  uid: number,
): Promise<void> {
  if ((await system.stat(folder)) === null) await system.makeDirectory(folder, 0o755);
  const facts = await system.stat(folder);
  if (facts === null || facts.kind !== "directory") throw unusable(folder, "it is not a folder");
  const STICKY = 0o1000;
  const writableByOthers = (facts.mode & 0o022) !== 0 && (facts.mode & STICKY) === 0;
  if (writableByOthers || (facts.uid !== uid && facts.uid !== 0)) {
    throw unusable(folder, "other users could replace what lies in it");
  }
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOTSOCK: "something else lies there",
  EADDRINUSE: "another server listens on it",
};

function unusable(path: string, why: string): NightlatchError {
  return new NightlatchError("admin/socket", `the admin socket cannot be made at ${path}: ${why}`, {
    meaning: "Nothing was started.",
    remedy: "Give another path with --admin, in a folder that only root or this server's user can write.",
  });
}
