import { libcFunction, type NativeFunction } from "./native.ts";

const [SOL_SOCKET, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE] = [1, 7, 8, 9];
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];
const [SOCK_NONBLOCK, SOCK_CLOEXEC] = [0o4000, 0o2000000];

let functions: { setsockopt: NativeFunction; accept4: NativeFunction } | null = null;

function libc() {
  functions ??= {
    setsockopt: libcFunction("int setsockopt(int, int, int, void *, unsigned int)"),
    accept4: libcFunction("int accept4(int, void *, void *, int)"),
  };
  return functions;
}

/**
 * What every connection that is accepted from this socket inherits (tcp(7)): no delay of small
 * writes, keep-alive, and how much the kernel keeps for each, in each direction.
 */
export function prepareConnections(listening: number, bufferBytes: number): void {
  set(listening, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(listening, SOL_SOCKET, SO_RCVBUF, bufferBytes);
  set(listening, SOL_SOCKET, SO_SNDBUF, bufferBytes);
  set(listening, IPPROTO_TCP, TCP_NODELAY, 1); // a socket that systemd passed may be no TCP one, and needs none of it
}

function set(fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  libc().setsockopt(fd, level, option, bytes, bytes.length);
}

/** One more connection that waits on the listening socket, which must not block: its descriptor; null where there is none. */
export function acceptNext(listening: number): number | null {
  const fd = libc().accept4(listening, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? null : fd;
}
