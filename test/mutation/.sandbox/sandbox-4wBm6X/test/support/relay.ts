/** Stands between guests and a server on the host, and can fall silent: what comes in is held. */
// @ts-nocheck

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly port: number;
  /** Whether what connects from now on is answered. */
  isSilent = false;
  /** How many connections came while it was silent. */
  held = 0;

  constructor(server: Server, to: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#take(socket, to));
  }

  #take(socket: Socket, to: number): void {
    this.#open.add(socket);
    socket.on("error", () => {}).on("close", () => this.#open.delete(socket));
    if (this.isSilent) {
      this.held++;
      return;
    }
    const far = connect(to, "127.0.0.1");
    far.on("error", () => socket.destroy());
    socket.pipe(far).pipe(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }
}

/** @param to the server's port on the host */
export async function startRelay(to: number): Promise<Relay> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return new Relay(server, to);
}
