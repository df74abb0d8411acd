// @ts-nocheck
import { ftruncateSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { NightlatchError } from "../core/errors.ts";
import { translate } from "./errno.ts";
import { libcFunction } from "./native/native.ts";
import type { Lock } from "./port.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const RETRY_MS = 50;

/**
 * Takes flock(2), which Node does not offer. The kernel frees it with the last descriptor, so
 * nothing stale is ever left.
 * @see System.lock
 */
export async function lockFile(path: string, waitMs: number): Promise<Lock> {
  const flock = libcFunction("int flock(int fd, int operation)");
  const file = await open(path, "a", 0o600).catch((error: unknown) => {
    throw translate(error, path);
  });
  const deadlineMs = performance.now() + waitMs;
  while (flock(file.fd, LOCK_EX | LOCK_NB) !== 0) {
    if (performance.now() >= deadlineMs) {
      await file.close();
      throw new NightlatchError(
        "system/busy",
        `${path} is held by another run, or by a program that one left running`,
        {
          meaning: "Nothing was changed.",
          remedy: `Wait until it has ended; fuser -v ${path} shows which it is.`,
        },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return { descriptor: file.fd, [Symbol.asyncDispose]: () => file.close() };
}

/**
 * Writes this process's number into the file of a lock that it holds, for people and for those who
 * wait.
 * @throws Error with `code`
 */
export function noteHolder({ descriptor }: Lock): void {
  ftruncateSync(descriptor);
  writeSync(descriptor, `${process.pid}\n`);
}
