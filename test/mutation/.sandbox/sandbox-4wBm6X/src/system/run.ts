// @ts-nocheck
import { type ChildProcess, spawn } from "node:child_process";
import { NightlatchError } from "../core/errors.ts";
import type { Exit, RunRequest } from "./port.ts";

const DEFAULT_OUTPUT_LIMIT_BYTES = 1 << 20;
/** For what the pipes of a program that has ended still hold. */
const LAST_OUTPUT_MS = 100;
/** For a killed program to be gone: one that waits for a disk that never answers stays. */
const DYING_MS = 2000;
/** Administrators' programs live in sbin, which a user's or a unit's PATH may lack. */
const SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** @see System.run */
export function runProgram(command: RunRequest): Promise<Exit> {
  const [program] = command.argv;
  const [spawned, ...args] = command.opensStdin ? [...BEHIND_PIPE, ...command.argv] : command.argv;
  const limitBytes = command.outputLimitBytes ?? DEFAULT_OUTPUT_LIMIT_BYTES;
  return new Promise((resolve, reject) => {
    const child = spawn(spawned, args, {
      env: { LC_ALL: "C", PATH: SEARCH_PATH },
      stdio: [
        command.stdin === undefined ? "ignore" : "pipe",
        "pipe",
        "pipe",
        ...(command.lock === undefined ? [] : [command.lock.descriptor]),
      ],
      detached: true,
    });
    let failure: NightlatchError | null = null;
    let dying: NodeJS.Timeout | undefined;
    const abandon = (error: NightlatchError) => {
      if (failure !== null) return;
      failure = error;
      killGroup(child.pid);
      // What has left the group may hold the pipes open for ever, and "close" would never come.
      setTimeout(() => closeOutput(child), LAST_OUTPUT_MS);
      dying = setTimeout(() => {
        child.unref();
        settle();
        reject(error);
      }, DYING_MS);
    };
    const deadline = setTimeout(() => {
      abandon(new NightlatchError("system/timeout", `${program} did not end within ${command.timeoutMs} ms`));
    }, command.timeoutMs);
    const onAbort = () => abandon(new NightlatchError("system/timeout", `${program} was given up`));
    command.signal?.addEventListener("abort", onAbort, { once: true });
    if (command.signal?.aborted) onAbort();

    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    if (command.take !== undefined) child.stdout?.on("data", handOver(command.take, abandon));
    else
      collect(child.stdout, stdout, limitBytes, () =>
        abandon(new NightlatchError("system/output-too-large", `${program} printed more than ${limitBytes} bytes`)),
      );
    collect(child.stderr, stderr, limitBytes, () => {});
    child.stdin?.on("error", () => {}); // a program may end without reading all of its input
    child.stdin?.end(command.stdin);

    const settle = () => {
      clearTimeout(deadline);
      clearTimeout(dying);
      command.signal?.removeEventListener("abort", onAbort);
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      settle();
      reject(notStarted(program, error.code ?? "unknown"));
    });
    // A child that it leaves behind (a daemon, say) may hold its pipes: what it has printed itself
    // has been read once they are silent.
    child.on("exit", () => whenSilent(child, () => closeOutput(child)));
    child.on("close", (status, signal) => {
      settle();
      if (failure !== null) reject(failure);
      else if (status === NOT_FOUND && command.opensStdin) reject(notStarted(program, "ENOENT"));
      else resolve({ status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) });
    });
  });
}

/**
 * The program takes the shell's place: were it the shell's child, it could go on to change a header
 * when somebody killed the shell. `--norc`, because a bash whose input is a socket runs ~/.bashrc
 * first (bash(1), "INVOCATION"), which could read what is meant for the program.
 */
const BEHIND_PIPE = ["bash", "--norc", "-c", 'exec "$@" < <(cat)', "bash"] as const;
const NOT_FOUND = 127;

function notStarted(program: string, why: string): NightlatchError {
  const code = why === "ENOENT" ? "system/missing-program" : "file/denied";
  return new NightlatchError(code, `${program} could not be started (${why})`, {
    remedy: `Install the package that holds ${program}.`,
  });
}

function closeOutput({ stdout, stderr }: ChildProcess): void {
  stdout?.destroy();
  stderr?.destroy();
}

/** Calls back after LAST_OUTPUT_MS without output, unless it was closed before. */
function whenSilent(child: ChildProcess, then: () => void): void {
  let timer: NodeJS.Timeout | undefined;
  let heard = false;
  const wait = () => {
    heard = false;
    // The turn after the timer reads what is there: in a process that was busy it may not have been
    // read yet.
    timer = setTimeout(() => setImmediate(() => (heard ? wait() : then())), LAST_OUTPUT_MS);
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", () => {
      heard = true;
    });
  }
  child.once("close", () => clearTimeout(timer));
  wait();
}

/** A taker that refuses what it is given ends the program. */
function handOver(take: (chunk: Buffer) => void, abandon: (error: NightlatchError) => void): (chunk: Buffer) => void {
  let refused = false;
  return (chunk) => {
    if (refused) return;
    try {
      take(chunk);
    } catch (error) {
      refused = true;
      if (!(error instanceof NightlatchError)) throw error;
      abandon(error);
    }
  };
}

function collect(
  stream: NodeJS.ReadableStream | null,
  into: Buffer[],
  limitBytes: number,
  onTooMuch: () => void,
): void {
  let lengthBytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    lengthBytes += chunk.length;
    if (lengthBytes <= limitBytes) into.push(chunk);
    else onTooMuch();
  });
}

/** The program may have children of its own (a shell script's curl): the whole group goes. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it ended meanwhile
  }
}
