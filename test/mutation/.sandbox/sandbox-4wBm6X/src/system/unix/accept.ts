// @ts-nocheck
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { libcFunction, type NativeFunction } from "../native/native.ts";

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const SOCK_NONBLOCK = O_NONBLOCK;
const SOCK_CLOEXEC = 0o2000000;

let functions: { fcntl: NativeFunction; accept4: NativeFunction } | null = null;

function libc() {
  functions ??= {
    fcntl: libcFunction("int fcntl(int, int, int)"),
    accept4: libcFunction("int accept4(int, void *, void *, int)"),
  };
  return functions;
}

/**
 * Accepts the connections that wait on a listening socket already (accept4(2)). They stay open when
 * their other end shuts down its writing side. None where this is no listening socket of streams.
 * Node accepts only what it listens on, for which it loads for milliseconds.
 */
export function acceptWaiting(listening: number, limitCount: number): Socket[] {
  // systemd hands over sockets that block: an empty queue would be waited on for ever. Node sets
  // the same when it listens.
  if (libc().fcntl(listening, F_SETFL, O_NONBLOCK) !== 0) return [];
  const sockets: Socket[] = [];
  while (sockets.length < limitCount) {
    const fd = libc().accept4(listening, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) break;
    const socket = socketOf(fd);
    if (socket === null) break;
    sockets.push(socket);
  }
  return sockets;
}

/** null where Node makes nothing of it. */
function socketOf(fd: number): Socket | null {
  try {
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch {
    closeSync(fd);
    return null;
  }
}
