// @ts-nocheck
import { createServer, type Server, type Socket } from "node:net";
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { parseKeySocketPeer } from "../formats/systemd/key-socket.ts";
import { acceptWaiting } from "../system/unix/accept.ts";
import { descriptorOf } from "../system/unix/descriptor.ts";
import { listenPrivately, makePrivateFolderOf } from "../system/unix/listen.ts";
import { type UnixPeer, unixPeerIsGone, unixPeerOf } from "../system/unix/peer.ts";

/**
 * The socket that crypttab names as the key file of every volume (crypttab(5), AF_UNIX KEY FILES).
 * The client says by the name of its own end which volume it wants, shuts down its writing side,
 * and reads the key to the end of file. A connection that ends without a byte makes
 * systemd-cryptsetup ask for the passphrase, so that is how everything but a key is answered.
 *
 * This is the agent's own door to the world beside the System port: a listening socket is no power
 * to be handed around.
 */
interface KeySocket {
  /**
   * Takes no new connections and closes those that are there. Connections that wait in the kernel's
   * queue stay there for systemd.
   */
  close(): Promise<void>;
}

/** A key for a client. The socket wipes it. */
export interface KeyAnswer {
  /** Wiped here. */
  readonly secret: Secret;
  /**
   * Called at the end, with whether the client was there to take the key. Nothing that takes time
   * should happen before that.
   */
  readonly onEnd: (taken: boolean) => void;
}

/** Where the agent listens, and what answers. */
export interface KeySocketOptions {
  /** systemd's descriptor, or a path of our own, made 0600 in a folder 0700. */
  readonly listen: { readonly fd: number } | { readonly path: string };
  /**
   * Finds the key of a volume; null closes the connection empty. It must settle in bounded time.
   * The signal aborts when the client has gone, or the socket is closed.
   */
  readonly answer: (volume: string, signal: AbortSignal) => Promise<KeyAnswer | null>;
  /** Told why a connection is not answered. */
  readonly onStranger: (why: string) => void;
  /** Told how many connections are being answered, after each change. */
  readonly onBusy?: (count: number) => void;
}

/** One volume asks once; a prompt that follows needs none. */
const CONNECTION_LIMIT = 256;
/** For a client that does not read its key. */
const WRITE_MS = 10_000;
const LOOK_FOR_GONE_MS = 500;
const LISTEN_WITHIN_MS = 50;
/** Until then, for those who come next. */
const LOOK_FOR_NEXT_MS = 5;

/**
 * Opens the socket. Those for whom systemd has started this process wait already, and a boot waits
 * with them: they are served first. Listening, for which Node loads its `cluster`, begins once they
 * have their answer, or after LISTEN_WITHIN_MS.
 * @throws NightlatchError agent/socket
 */
export async function openKeySocket(options: KeySocketOptions): Promise<KeySocket> {
  const open = new Set<Socket>();
  let onNobody = () => {};
  const take = (socket: Socket) => {
    open.add(socket);
    options.onBusy?.(open.size);
    socket.on("close", () => {
      open.delete(socket);
      options.onBusy?.(open.size);
      if (open.size === 0) onNobody();
    });
    serve(socket, options).catch(() => socket.destroy());
  };
  const closeAll = () =>
    Promise.all([...open].map((socket) => new Promise((resolve) => socket.once("close", resolve).destroy())));
  // Without allowHalfOpen Node would close as soon as the client shuts down its writing side, which
  // it does at once.
  const server = createServer({ allowHalfOpen: true }, take);
  server.maxConnections = CONNECTION_LIMIT;
  server.on("drop", () => options.onStranger(`more than ${CONNECTION_LIMIT} connections at once`));
  const takeWaiting = (fd: number) => {
    for (const socket of acceptWaiting(fd, CONNECTION_LIMIT - open.size)) {
      server.maxConnections--; // it counts only what it has accepted itself
      socket.on("close", () => {
        server.maxConnections++;
      });
      take(socket);
    }
  };
  if ("fd" in options.listen) {
    const { fd } = options.listen;
    takeWaiting(fd);
    if (open.size > 0) {
      const look = setInterval(takeWaiting, LOOK_FOR_NEXT_MS, fd);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        onNobody = resolve;
        timer = setTimeout(resolve, LISTEN_WITHIN_MS);
      });
      clearTimeout(timer);
      clearInterval(look);
    }
  }
  try {
    await listen(server, options.listen);
  } catch (error) {
    await closeAll();
    throw error;
  }
  server.on("error", (error: NodeJS.ErrnoException) => {
    options.onStranger(`a connection could not be accepted (${error.code ?? error.name})`);
  });
  return {
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await closeAll();
      await closed;
    },
  };
}

async function serve(socket: Socket, { answer, onStranger }: KeySocketOptions): Promise<void> {
  const gone = new AbortController();
  socket.on("error", () => socket.destroy());
  socket.on("close", () => gone.abort());
  socket.resume(); // the client has nothing to say; what it says all the same is dropped
  const fd = descriptorOf(socket);
  const volume = fd === null ? null : admit(unixPeerOf(fd), onStranger);
  if (fd === null || volume === null) {
    socket.destroy();
    return;
  }
  const watch = setInterval(() => {
    if (unixPeerIsGone(fd)) socket.destroy();
  }, LOOK_FOR_GONE_MS);
  socket.on("close", () => clearInterval(watch));
  const found = await answer(volume, gone.signal);
  if (found !== null) {
    const taken = !gone.signal.aborted && (await write(socket, found.secret.reveal()));
    found.secret.wipe();
    found.onEnd(taken);
  }
  socket.destroy();
}

/** Gives the volume that is asked for; null for a client that is not let in. */
function admit(peer: UnixPeer | null, onStranger: (why: string) => void): string | null {
  if (peer === null) return null; // gone already
  const who = `process ${peer.pid} of user ${peer.uid}`;
  // The socket's mode says it already; this holds even where somebody has loosened it.
  if (peer.uid !== 0 && peer.uid !== process.getuid?.()) {
    onStranger(`${who} is not root`);
    return null;
  }
  const asked = parseKeySocketPeer(peer.name);
  if (asked === null) {
    onStranger(`${who} does not say which volume it wants, as systemd-cryptsetup does by the name of its socket`);
    return null;
  }
  if (asked.kind !== "cryptsetup") {
    onStranger(`${who} asks for ${asked.volume} as ${asked.kind}, which wants no key but something encrypted`);
    return null;
  }
  return asked.volume;
}

/**
 * Writes the key. Gives whether all of it reached the kernel's buffer with the client still there.
 */
function write(socket: Socket, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (taken: boolean) => {
      clearTimeout(timer);
      resolve(taken);
    };
    const timer = setTimeout(() => end(false), WRITE_MS);
    socket.on("close", () => end(false));
    socket.on("finish", () => end(true));
    socket.end(bytes);
  });
}

async function listen(server: Server, where: KeySocketOptions["listen"]): Promise<void> {
  try {
    if ("path" in where) {
      makePrivateFolderOf(where.path);
      return await listenPrivately(server, where.path);
    }
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, resolve);
    });
  } catch (error) {
    const name = "path" in where ? where.path : `descriptor ${where.fd}`;
    const { code } = error as NodeJS.ErrnoException;
    throw new NightlatchError("agent/socket", problemOf(name, code ?? "unknown"), {
      remedy: "Name another --socket, or see: systemctl status nightlatch-agent.socket",
    });
  }
}

function problemOf(name: string, code: string): string {
  switch (code) {
    case "ENOTSOCK":
      return `${name} exists and is no socket`;
    case "EADDRINUSE":
      return `another program listens on ${name} already`;
    default:
      return `${name} cannot be listened on (${code})`;
  }
}
