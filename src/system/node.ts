import { randomBytes } from "node:crypto";
import { factsOf, listFolder, makeFolder, readRange, readWhole, removeDurably, writeDurably } from "./files.ts";
import { exchange } from "./http.ts";
import { lockFile } from "./lock.ts";
import type { System } from "./port.ts";
import { runProgram } from "./run.ts";

/** The real system. Only `main.ts` and the entry points beside it name this module. */
export const nodeSystem: System = {
  run: runProgram,
  readFile: readWhole,
  readAt: readRange,
  writeFile: writeDurably,
  removeFile: removeDurably,
  makeDirectory: makeFolder,
  listDirectory: listFolder,
  stat: factsOf,
  lock: lockFile,
  request: exchange,
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      signal?.addEventListener("abort", done, { once: true });
    }),
  random: (lengthBytes) => randomBytes(lengthBytes),
};
