/**
 * What systemd does for a socket unit: keeps the listening socket, and starts the service whenever
 * somebody waits and none runs.
 */
// @ts-nocheck

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { libcFunction } from "../../../src/system/native/native.ts";

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0x80001;
const POLLIN = 1;

export interface Activator extends AsyncDisposable {
  /** How many times the service was started. */
  starts(): number;
  /** What all of them have said. */
  log(): string;
}

/** A socket that listens, and blocks, as systemd hands it over. */
export function makeListener(path: string): number {
  const fd = libcFunction("int socket(int, int, int)")(AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
  const address = Buffer.concat([Buffer.of(AF_UNIX, 0), Buffer.from(`${path}\0`)]);
  if (libcFunction("int bind(int, void *, unsigned int)")(fd, address, address.length) !== 0) throw new Error("bind");
  if (libcFunction("int listen(int, int)")(fd, 128) !== 0) throw new Error("listen");
  return fd;
}

export function activate(path: string, argv: readonly string[]): Activator {
  const fd = makeListener(path);
  const poll = libcFunction("int poll(void *, unsigned long, int)");
  const question = Buffer.alloc(8);
  const somebodyWaits = () => {
    question.writeInt32LE(fd, 0);
    question.writeInt16LE(POLLIN, 4);
    return poll(question, 1, 0) > 0;
  };
  let starts = 0;
  let log = "";
  let over = false;
  let child: ChildProcess | null = null;
  const loop = async () => {
    while (!over) {
      if (!somebodyWaits()) {
        await new Promise((wake) => setTimeout(wake, 5));
        continue;
      }
      starts++;
      child = spawn("sh", ["-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh", ...argv], {
        stdio: ["ignore", "ignore", "pipe", fd],
      });
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        log += text;
      });
      await once(child, "exit");
    }
    closeSync(fd);
  };
  const ended = loop();
  return {
    starts: () => starts,
    log: () => log,
    [Symbol.asyncDispose]: async () => {
      over = true;
      if (child?.exitCode === null) child.kill();
      await ended;
    },
  };
}
