/**
 * Sockets of the kernel without Node's streams, which cost a client three times as much as the
 * kernel does: on one machine the server pays for it. socket(7), ip(7), epoll(7)
 */
import { libcFunction } from "../../src/system/native/native.ts";

const [AF_INET, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC] = [2, 1, 0o4000, 0o2000000];
const [IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT] = [0, 24];
const [EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT] = [1, 3, 1, 4];
const MSG_NOSIGNAL = 0x4000;
/** struct epoll_event is packed on x86-64 alone. */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16;
const EVENTS = 256;

const libc = {
  socket: libcFunction("int socket(int, int, int)"),
  setsockopt: libcFunction("int setsockopt(int, int, int, void *, unsigned int)"),
  bind: libcFunction("int bind(int, void *, unsigned int)"),
  connect: libcFunction("int connect(int, void *, unsigned int)"),
  send: libcFunction("long send(int, void *, size_t, int)"),
  recv: libcFunction("long recv(int, void *, size_t, int)"),
  close: libcFunction("int close(int)"),
  epoll_create1: libcFunction("int epoll_create1(int)"),
  epoll_ctl: libcFunction("int epoll_ctl(int, int, int, void *)"),
  epoll_wait: libcFunction("int epoll_wait(int, void *, int, int)"),
};

/** An IPv4 address as the kernel takes it: a struct sockaddr_in. */
export function socketAddress(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

const one = Buffer.alloc(4);
one.writeInt32LE(1);

/** Many connections at once, in a process that does nothing else: `wait` blocks it. */
export class Sockets {
  readonly #epoll = libc.epoll_create1(SOCK_CLOEXEC);
  readonly #event = Buffer.alloc(EVENT_BYTES);
  readonly #events = Buffer.alloc(EVENTS * EVENT_BYTES);
  /** What is still to be sent, by descriptor. */
  readonly #unsent = new Map<number, Buffer>();

  /** Begins a connection, and sends as soon as it stands. @returns its descriptor */
  open(from: Buffer, to: Buffer, request: Buffer): number {
    const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw new Error("there is no descriptor left");
    libc.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, one, one.length);
    if (libc.bind(fd, from, from.length) !== 0) throw new Error("no address to come from");
    libc.connect(fd, to, to.length); // it fails where it would block, and `send` tells then
    const isSent = libc.send(fd, request, request.length, MSG_NOSIGNAL) === request.length;
    if (!isSent) this.#unsent.set(fd, request);
    this.#watch(EPOLL_CTL_ADD, fd, isSent ? EPOLLIN : EPOLLOUT);
    return fd;
  }

  /**
   * Waits, and tells of each connection at which something has come.
   * @param mostMs 0 or more
   */
  wait(mostMs: number, tell: (fd: number) => void): void {
    const count = libc.epoll_wait(this.#epoll, this.#events, EVENTS, mostMs);
    for (let at = 0; at < count * EVENT_BYTES; at += EVENT_BYTES) {
      const fd = this.#events.readInt32LE(at + EVENT_BYTES - 8);
      const unsent = this.#unsent.get(fd);
      if (unsent === undefined) tell(fd);
      else this.#send(fd, unsent);
    }
  }

  /** Reads what has come. @returns its length; 0 or less where the connection is over */
  read(fd: number, into: Buffer): number {
    return Number(libc.recv(fd, into, into.length, 0));
  }

  close(fd: number): void {
    libc.close(fd);
  }

  #send(fd: number, request: Buffer): void {
    this.#unsent.delete(fd);
    libc.send(fd, request, request.length, MSG_NOSIGNAL); // where it fails, reading tells
    this.#watch(EPOLL_CTL_MOD, fd, EPOLLIN);
  }

  #watch(operation: number, fd: number, events: number): void {
    this.#event.writeUInt32LE(events, 0);
    this.#event.writeInt32LE(fd, EVENT_BYTES - 8);
    libc.epoll_ctl(this.#epoll, operation, fd, this.#event);
  }
}
