/** The programs as somebody starts them, and what the kernel says of them then. */
// @ts-nocheck

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";

const ROOT = resolve(import.meta.dirname, "../..");
export const MAIN = join(ROOT, "src/main.ts");
export const AGENT_MAIN = join(ROOT, "src/agent-main.ts");
export const COMMAND = join(ROOT, "bin/nightlatch");

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs an entry point to its end, on this Node and without the flags that the launchers give;
 * `hook` is loaded before it.
 */
export async function runEntry(
  entry: string,
  args: readonly string[],
  wish: { readonly hook?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const flags = wish.hook === undefined ? [] : ["--import", wish.hook];
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...flags, entry, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...wish.env },
  });
  const ended = endOf(child);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { ...(await ended), stdout, stderr };
}

export function endOf(child: ChildProcess): Promise<Pick<Ended, "status" | "signal">> {
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("exit", (status, signal) => done({ status, signal }));
  });
}

/** A line of /proc/PID/status, such as SigCgt; null where the process is gone. */
export function statusLine(pid: number, name: string): string | null {
  try {
    return new RegExp(`^${name}:\\t(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? null;
  } catch {
    return null;
  }
}

/**
 * Whether the process is a Node that catches, ignores or blocks SIGUSR1, so that one does not end
 * it. Before its execve(2) a child has the handlers and the mask of ours, and a shell blocks all
 * signals while it forks: that says nothing of the program.
 */
export function withstandsUsr1(pid: number): boolean {
  if (commandLine(pid) === commandLine("self") || programOf(pid) !== programOf("self")) return false;
  const SIGUSR1_BIT = 1n << 9n;
  return ["SigCgt", "SigIgn", "SigBlk"].some((name) => {
    const mask = statusLine(pid, name);
    return mask !== null && (BigInt(`0x${mask}`) & SIGUSR1_BIT) !== 0n;
  });
}

function programOf(pid: number | "self"): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return null; // gone meanwhile
  }
}

function commandLine(pid: number | "self"): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // gone meanwhile
  }
}

/** Local TCP ports that the process listens on. */
export function listeningPorts(pid: number): readonly number[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        return undefined; // closed meanwhile
      }
    }),
  );
  const LISTEN = "0A";
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === LISTEN && sockets.has(fields[9]))
      .map((fields) => Number.parseInt(String(fields[1]?.split(":")[1]), 16)),
  );
}

/** The first child of a process whose name matches; null where there is none. */
export function childOf(pid: number, name: string): number | null {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
    return children.map(Number).find((child) => statusLine(child, "Name") === name) ?? null;
  } catch {
    return null;
  }
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`in a minute it did not come to this: ${what}`);
    await new Promise((wake) => setTimeout(wake, 2));
  }
}
