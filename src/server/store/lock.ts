import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import koffi from "koffi";
import { NightlatchError } from "../../core/errors.ts";

/** flock(2): given up by the kernel when the process ends, however it ends. It binds servers only; readers do not ask for it. */
const flock = koffi.load(null).func("int flock(int fd, int operation)") as (fd: number, operation: number) => number;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Keeps a second server away from the folder until the returned function is called or this process ends.
 * @throws NightlatchError store/busy
 */
export function lockFile(path: string): () => void {
  const fd = openSync(path, "a+", 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const holder = /^\d{1,10}$/.exec(readFileSync(path, "utf8").trim())?.[0];
    closeSync(fd);
    throw new NightlatchError(
      "store/busy",
      `another server has this store open${holder ? ` (process ${holder})` : ""}`,
      {
        meaning: "Two servers on one store could release after a revocation. Nothing was started.",
        remedy: "Stop the other server, or give this one a data folder of its own with --data.",
      },
    );
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return () => closeSync(fd);
}
