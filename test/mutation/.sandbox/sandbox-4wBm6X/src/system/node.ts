// @ts-nocheck
import { randomBytes } from "node:crypto";
import { uptime } from "node:os";
import { findExposures } from "./exposure.ts";
import { exchange } from "./http.ts";
import type { System } from "./port.ts";
import {
  factsOf,
  factsOfLink,
  freeBytesAt,
  listFolder,
  readRange,
  readWhole,
  realPathOf,
  wholeIfPresent,
} from "./read.ts";

/**
 * The real system. Only `main.ts` and the entry points beside it name this module. What the agent
 * does not need to give a key is loaded at its first use: docs/decisions/020-cold-start.md.
 */
export const nodeSystem: System = {
  run: async (command) => (await import("./run.ts")).runProgram(command),
  readFile: readWhole,
  readFileIfPresent: wholeIfPresent,
  readAt: readRange,
  writeFile: async (path, bytes, mode) => (await import("./files.ts")).writeDurably(path, bytes, mode),
  openInPlace: async (path, made) => (await import("./in-place.ts")).openFileInPlace(path, made),
  removeFile: async (path) => (await import("./files.ts")).removeDurably(path),
  makeDirectory: async (path, mode) => (await import("./files.ts")).makeFolder(path, mode),
  listDirectory: listFolder,
  stat: factsOf,
  lstat: factsOfLink,
  realPath: realPathOf,
  freeBytes: freeBytesAt,
  findExposures,
  lock: async (path, waitMs) => (await import("./lock.ts")).lockFile(path, waitMs),
  request: exchange,
  openTpm: async (limits) => (await import("./tpm/tpm.ts")).connectTpm(limits),
  nowMs: () => Date.now(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  upMs: () => Math.round(uptime() * 1000),
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
