/**
 * What the guest tests build and keep: trees and images, outside the checkout, one folder an entry,
 * named by a digest of all that went into it. `$NIGHTLATCH_GUEST_CACHE`, else
 * `$XDG_CACHE_HOME/nightlatch-guests`, else `~/.cache/nightlatch-guests`.
 *
 * An entry appears by one rename, so an interrupted build is never taken for a whole one. Builders
 * of one kind wait for each other; what an interrupted one left is removed by the next, which holds
 * the lock and so knows that nobody is at it.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export function cacheRoot(): string {
  const own = process.env["NIGHTLATCH_GUEST_CACHE"];
  if (own !== undefined && own !== "") return own;
  const base = process.env["XDG_CACHE_HOME"];
  return join(base !== undefined && base !== "" ? base : join(homedir(), ".cache"), "nightlatch-guests");
}

/** 16 hex digits over the inputs: strings and bytes as they are, all else as JSON. */
export function digestOf(...inputs: readonly unknown[]): string {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const bytes = Buffer.isBuffer(input)
      ? input
      : Buffer.from(typeof input === "string" ? input : JSON.stringify(input));
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex").slice(0, 16);
}

export interface CacheEntry {
  /**
   * One lock and one clean-up for all entries of a kind. A builder may ask for entries of another
   * kind, never of its own.
   */
  readonly kind: string;
  readonly name: string;
  readonly digest: string;
  /** How many entries of the kind are kept, those used last. */
  readonly keep: number;
}

/** The entry's folder; `build` fills a new one where there is none. */
export async function cached(entry: CacheEntry, build: (folder: string) => Promise<void>): Promise<string> {
  const shelf = join(cacheRoot(), entry.kind);
  const folder = join(shelf, `${entry.name}-${entry.digest}`);
  mkdirSync(shelf, { recursive: true, mode: 0o700 });
  if (!existsSync(folder)) {
    await using _lock = await lock(`${entry.kind}.lock`);
    if (!existsSync(folder)) {
      removeAll(shelf, (name) => name.endsWith(PARTIAL));
      const partial = `${folder}${PARTIAL}`;
      mkdirSync(partial, { mode: 0o700 });
      await build(partial);
      renameSync(partial, folder);
      pruneFolder(shelf, entry.keep);
    }
  }
  const now = new Date();
  utimesSync(folder, now, now);
  return folder;
}

const PARTIAL = ".partial";

/** What was used last stays. An image in use survives it too: QEMU holds it open. */
export function pruneFolder(shelf: string, keep: number): void {
  const byAge = readdirSync(shelf)
    .map((name) => ({ name, usedMs: statSync(join(shelf, name)).mtimeMs }))
    .sort((a, b) => b.usedMs - a.usedMs);
  const old = new Set(byAge.slice(keep).map((entry) => entry.name));
  removeAll(shelf, (name) => old.has(name));
}

function removeAll(shelf: string, chosen: (name: string) => boolean): void {
  for (const name of readdirSync(shelf).filter(chosen)) rmSync(join(shelf, name), { recursive: true, force: true });
}

/**
 * Waits for a lock shared by every process that uses this cache. It ends with the process, however
 * that ends.
 */
export async function lock(name: string): Promise<AsyncDisposable> {
  mkdirSync(cacheRoot(), { recursive: true, mode: 0o700 });
  // flock's child ends at the end of its input, which comes when we close the pipe and when we die.
  const holder = spawn("flock", [join(cacheRoot(), name), "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once("data", () => resolve());
    holder.once("error", reject);
    holder.once("close", (status) => reject(new Error(`flock ended with ${status}`)));
  });
  return {
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => holder.once("close", resolve));
      holder.stdin.end();
      await ended;
    },
  };
}
