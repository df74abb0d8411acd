// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { findFlaw } from "../../../core/ownership.ts";
import type { System } from "../../../system/port.ts";

/**
 * Refuses a path that somebody other than the server's user could read or replace: keys lie there.
 * An absent path is fine.
 * @throws NightlatchError store/permissions
 */
export async function requirePrivate(system: Pick<System, "stat">, path: string, uid: number): Promise<void> {
  const facts = await system.stat(path);
  if (facts === null) return;
  const flaw = findFlaw(facts, [uid], true);
  if (flaw === null) return;
  if (flaw === "owner") {
    throw new NightlatchError("store/permissions", `${path} belongs to user ${facts.uid}, this server runs as ${uid}`, {
      meaning: "Nothing was started, nothing was changed.",
      remedy: `Run the server as user ${facts.uid}, or give the files to it: chown -R ${uid} ${path}`,
    });
  }
  throw new NightlatchError("store/permissions", `${path} is open to other users (mode ${facts.mode.toString(8)})`, {
    meaning: "Others may have read the keys in it. Nothing was started, nothing was changed.",
    remedy: `If nobody else could reach it: chmod go= ${path}`,
  });
}

/**
 * Refuses a store that is a symbolic link. SQLite would follow it, and lay its WAL, with keys in
 * it, beside whatever it leads to.
 * @throws NightlatchError store/permissions
 */
export async function requireOwnFile(system: Pick<System, "lstat">, path: string): Promise<void> {
  if ((await system.lstat(path))?.kind !== "link") return;
  throw new NightlatchError("store/permissions", `${path} is a symbolic link`, {
    meaning:
      "What it leads to is outside of the folder that is kept private. Nothing was started, nothing was changed.",
    remedy: "Put the store itself in its place, or name the folder that it lies in with --data.",
  });
}
