/** Our own server as a process of its own, for tests and benches that kill it. */
// @ts-nocheck

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

/** bin/nightlatch */
export const COMMAND = resolve(import.meta.dirname, "../../bin/nightlatch");

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs bin/nightlatch to its end. */
export function nightlatch(...args: readonly string[]): Promise<Outcome> {
  return new Promise((done) => {
    execFile(COMMAND, [...args], { env: { ...process.env, NO_COLOR: "1" } }, (error, stdout, stderr) => {
      done({ status: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

export interface Served extends AsyncDisposable {
  readonly url: string;
  /** The data folder; its id file lies beside it. */
  readonly folder: string;
  readonly admin: string;
  readonly process: ChildProcess;
  /** `nightlatch ARGS --admin SOCKET --json`, which must succeed. */
  json(...args: readonly string[]): Promise<Record<string, unknown>>;
  /** Ends the process and waits for it; the folder stays. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface ServeWish {
  /**
   * An empty folder for everything, made where it is absent; removed at disposal if it was made
   * here.
   */
  readonly home?: string;
  readonly args?: readonly string[];
  /** `host:port`; a free port of 127.0.0.1 where it is absent. */
  readonly listen?: string;
  /** Another checkout's bin/nightlatch in the place of this one's. */
  readonly command?: string;
  /** What to run the server through, such as `unshare -m`. */
  readonly through?: readonly [string, ...string[]];
}

/** To be ended with `await using`. */
export async function serve(wish: ServeWish = {}): Promise<Served> {
  const home = wish.home ?? mkdtempSync(join(tmpdir(), "nightlatch-serve-"));
  const [folder, admin] = [join(home, "data"), join(home, "admin.sock")];
  const args = [
    "serve",
    "--data",
    folder,
    "--listen",
    wish.listen ?? "127.0.0.1:0",
    "--admin",
    admin,
    "--json",
    ...(wish.args ?? []),
  ];
  const command = wish.command ?? COMMAND;
  const [program, ...before] = wish.through ?? [command];
  const child = spawn(program, wish.through === undefined ? args : [...before, command, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const errors: string[] = [];
  createInterface(child.stderr).on("line", (line) => errors.push(line));
  const ended = once(child, "close"); // its output was read to the end then
  const first = once(createInterface(child.stdout), "line");
  const line = await Promise.race([first.then(([text]) => String(text)), ended.then(() => "")]);
  const started = JSON.parse(line || "{}") as { ok?: boolean; url?: string };
  if (started.ok !== true || started.url === undefined) {
    await ended;
    throw new Error(`the server did not start: ${errors.join("\n")}`);
  }
  const end = async (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    await ended;
  };
  return {
    url: started.url,
    folder,
    admin,
    process: child,
    end,
    json: async (...words) => {
      const { status, stdout, stderr } = await nightlatch(...words, "--admin", admin, "--json");
      if (status !== 0) throw new Error(`${words.join(" ")} ended with ${status}: ${stderr}`);
      return JSON.parse(stdout) as Record<string, unknown>;
    },
    [Symbol.asyncDispose]: async () => {
      await end("SIGKILL");
      if (wish.home === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}
