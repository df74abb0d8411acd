// @ts-nocheck
import { libcFunction, type NativeFunction } from "../native/native.ts";

/** The other end of an accepted AF_UNIX connection, which Node does not tell of (unix(7)). */
export interface UnixPeer {
  /**
   * What the peer bound its end to, after the family: empty for most, `\0…` for an abstract name.
   * The peer's own choice.
   */
  readonly name: Buffer;
  /** SO_PEERCRED: who connected, by the kernel's word. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SOCKADDR_UN_BYTES = 110;
const FAMILY_BYTES = 2;
const UCRED_BYTES = 12;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const POLLHUP = 0x10;

let functions: { getpeername: NativeFunction; getsockopt: NativeFunction; poll: NativeFunction } | null = null;

function libc() {
  functions ??= {
    getpeername: libcFunction("int getpeername(int, void *, void *)"),
    getsockopt: libcFunction("int getsockopt(int, int, int, void *, void *)"),
    poll: libcFunction("int poll(void *, unsigned long, int)"),
  };
  return functions;
}

/**
 * Tells who is at the other end of a Unix socket. Null where the connection is gone, or is no
 * AF_UNIX one.
 */
export function unixPeerOf(fd: number): UnixPeer | null {
  const address = Buffer.alloc(SOCKADDR_UN_BYTES);
  const credentials = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(SOCKADDR_UN_BYTES);
  if (libc().getpeername(fd, address, length) !== 0) return null;
  const nameEnd = Math.min(length.readUInt32LE(), SOCKADDR_UN_BYTES);
  length.writeUInt32LE(UCRED_BYTES);
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) return null;
  return {
    name: address.subarray(FAMILY_BYTES, Math.max(nameEnd, FAMILY_BYTES)),
    pid: credentials.readInt32LE(0),
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
  };
}

/**
 * Whether the peer has closed its end, and has not merely shut down its writing side, as
 * systemd-cryptsetup does. Node reports the first and is then silent about the second (POLLHUP,
 * poll(2)).
 */
export function unixPeerIsGone(fd: number): boolean {
  const entry = Buffer.alloc(8);
  entry.writeInt32LE(fd, 0);
  return libc().poll(entry, 1, 0) > 0 && (entry.readInt16LE(6) & POLLHUP) !== 0;
}
