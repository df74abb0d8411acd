// @ts-nocheck
import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";

/**
 * Listens on a Unix socket that only its owner may connect to, from its first moment on. The socket
 * is there only once it is listened on: a connection between bind(2) and listen(2) would be
 * refused, which systemd-cryptsetup takes for a failure without a prompt. A socket that nobody
 * listens on any more is replaced.
 * @throws Error with `code`: ENOTSOCK where something else lies there, EADDRINUSE where another
 * program listens
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present !== undefined && !present.isSocket()) throw withCode("ENOTSOCK");
  if (present !== undefined && (await isAlive(path))) throw withCode("EADDRINUSE");
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const mask = process.umask(0o177); // listen() binds before it returns
    server.listen(temporary, () => {
      server.off("error", reject);
      resolve();
    });
    process.umask(mask);
  });
  renameSync(temporary, path);
  server.once("close", () => rmSync(path, { force: true })); // Node removes only the name that it knows
}

/**
 * Lets a group connect to a socket, too.
 * @throws Error with `code`: EPERM where this process may not give it away
 */
export function openToGroup(path: string, uid: number, gid: number): void {
  chownSync(path, uid, gid);
  chmodSync(path, 0o660);
}

/**
 * Makes the folder that a socket is to lie in, for its owner alone; one that exists keeps its mode.
 * @throws Error with `code`
 */
export function makePrivateFolderOf(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}
