/**
 * Asks a key socket as systemd-cryptsetup does (crypttab(5), AF_UNIX KEY FILES): binds its own end
 * to an abstract name that tells the volume, connects, shuts down its writing side, and reads to
 * the end of file.
 * usage: node script/key-client.ts SOCKET VOLUME > KEY
 */
// @ts-nocheck

import { randomBytes } from "node:crypto";
import { Socket } from "node:net";
import { libcFunction } from "../src/system/native/native.ts";

export interface KeyQuestion {
  readonly socket: string;
  readonly volume: string;
  /** `cryptsetup` where it is absent. */
  readonly kind?: string;
  /**
   * The whole name in place of the one that systemd would use, without the leading NUL; null: no
   * name at all.
   */
  readonly name?: string | Buffer | null;
  /** Leaves the writing side open. */
  readonly keepOpen?: boolean;
}

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0x80001;

/**
 * A connection that has asked; what comes out of it is the key. Node's own connect cannot bind its
 * end.
 */
export function askForKey(question: KeyQuestion): Socket {
  const fd = libcFunction("int socket(int, int, int)")(AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
  const { volume, kind = "cryptsetup", name = `${randomBytes(8).toString("hex")}/${kind}/${volume}` } = question;
  if (name !== null) {
    const address = unixAddress(Buffer.concat([Buffer.of(0), Buffer.from(name)]));
    if (libcFunction("int bind(int, void *, unsigned int)")(fd, address, address.length) !== 0) {
      throw new Error("the client's name could not be bound");
    }
  }
  const address = unixAddress(Buffer.from(`${question.socket}\0`));
  if (libcFunction("int connect(int, void *, unsigned int)")(fd, address, address.length) !== 0) {
    libcFunction("int close(int)")(fd);
    throw new Error(`${question.socket} cannot be connected to`);
  }
  const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  if (question.keepOpen !== true) socket.end();
  return socket;
}

/** Everything up to the end of file: the key, or nothing. */
export async function fetchKey(question: KeyQuestion): Promise<Buffer> {
  const socket = askForKey(question);
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function unixAddress(path: Buffer): Buffer {
  if (path.length > 108) throw new Error("the path is longer than an AF_UNIX address");
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, path]);
}

if (import.meta.main) {
  const [socket, volume] = process.argv.slice(2);
  if (socket === undefined || volume === undefined) {
    process.stderr.write("usage: node script/key-client.ts SOCKET VOLUME > KEY\n");
    process.exitCode = 2;
  } else {
    const key = await fetchKey({ socket, volume });
    process.stdout.write(key);
    process.exitCode = key.length > 0 ? 0 : 1;
  }
}
