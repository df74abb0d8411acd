// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { noteHolder } from "../../../system/lock.ts";
import type { Lock, System } from "../../../system/port.ts";

const MAX_PID_BYTES = 64;

/**
 * Keeps a second server away from the folder, until the lock is disposed of or this process ends.
 * It binds servers only: readers do not ask for it.
 * @throws NightlatchError store/busy where another server has the folder
 */
export async function lockFolder(system: Pick<System, "lock" | "readFile">, path: string): Promise<Lock> {
  try {
    const lock = await system.lock(path, 0);
    noteHolder(lock);
    return lock;
  } catch (error) {
    if (!isError(error, "system/busy")) throw error;
    const holder = /^\d{1,10}$/.exec((await system.readFile(path, MAX_PID_BYTES)).toString().trim())?.[0];
    const which = holder === undefined ? "" : ` (process ${holder})`;
    throw new NightlatchError("store/busy", `another server has this store open${which}`, {
      meaning: "Two servers on one store could release after a revocation. Nothing was started.",
      remedy: "Stop the other server, or give this one a data folder of its own with --data.",
    });
  }
}
