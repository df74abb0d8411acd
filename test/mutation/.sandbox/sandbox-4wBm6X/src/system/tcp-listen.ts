// @ts-nocheck
import { libcFunction, type NativeFunction } from "./native/native.ts";

const [SOL_SOCKET, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE] = [1, 7, 8, 9];
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];
const [SOCK_NONBLOCK, SOCK_CLOEXEC] = [0o4000, 0o2000000];
const [AF_INET, AF_INET6] = [2, 10];
/** Of any address's kind. */
const SOCKADDR_BYTES = 128;
const [RLIMIT_NOFILE, RLIMIT_BYTES] = [7, 16];

interface Functions {
  readonly setsockopt: NativeFunction;
  readonly accept4: NativeFunction;
  readonly close: NativeFunction;
  readonly getrlimit: NativeFunction;
}

let functions: Functions | null = null;

function libc(): Functions {
  functions ??= {
    setsockopt: libcFunction("int setsockopt(int, int, int, void *, unsigned int)"),
    accept4: libcFunction("int accept4(int, void *, void *, int)"),
    close: libcFunction("int close(int)"),
    getrlimit: libcFunction("int getrlimit(int, void *)"),
  };
  return functions;
}

/**
 * Sets what every connection that is accepted from this socket inherits (tcp(7)): no delay of small
 * writes, keep-alive, and how much the kernel keeps for each, in each direction.
 */
export function prepareConnections(listening: number, bufferBytes: number): void {
  set(listening, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(listening, SOL_SOCKET, SO_RCVBUF, bufferBytes);
  set(listening, SOL_SOCKET, SO_SNDBUF, bufferBytes);
  // A socket that systemd passed may be no TCP one, and needs none of it.
  set(listening, IPPROTO_TCP, TCP_NODELAY, 1);
}

function set(fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  libc().setsockopt(fd, level, option, bytes, bytes.length);
}

/**
 * Tells how many files and connections this process may have open (getrlimit(2)). Node has raised
 * it to the hard limit.
 */
export function descriptorLimit(): number {
  const limit = Buffer.alloc(RLIMIT_BYTES);
  return libc().getrlimit(RLIMIT_NOFILE, limit) === 0 ? Number(limit.readBigUInt64LE(0)) : Number.POSITIVE_INFINITY;
}

/** A connection that was accepted, and is nothing but a descriptor yet. */
export interface Arrival {
  readonly fd: number;
  /**
   * Whose it is, an IPv6 address without abbreviation; empty where it is no address of the
   * Internet's.
   */
  readonly address: string;
}

const address = Buffer.alloc(SOCKADDR_BYTES);
const length = Buffer.alloc(4);

/**
 * Accepts one more connection that waits on the listening socket, which must not block. Null where
 * none waits.
 */
export function acceptNext(listening: number): Arrival | null {
  length.writeUInt32LE(SOCKADDR_BYTES);
  const fd = libc().accept4(listening, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? null : { fd, address: readAddress() };
}

/** Closes a connection that nothing was made of. */
export function closeArrival({ fd }: Arrival): void {
  libc().close(fd);
}

/** sockaddr_in and sockaddr_in6, ip(7) and ipv6(7). */
function readAddress(): string {
  const family = address.readUInt16LE(0);
  if (family === AF_INET) return `${address[4]}.${address[5]}.${address[6]}.${address[7]}`;
  if (family !== AF_INET6) return "";
  let text = address.readUInt16BE(8).toString(16);
  for (let at = 10; at < 24; at += 2) text += `:${address.readUInt16BE(at).toString(16)}`;
  return text;
}
