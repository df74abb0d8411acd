// @ts-nocheck
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

export interface Host extends AsyncDisposable {
  readonly url: string;
  /** Connections that are open now. */
  readonly open: ReadonlySet<Socket>;
}

/** A server that answers a connection in any way it likes. */
export async function host(answer: (socket: Socket, head: string) => void): Promise<Host> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => {});
    socket.once("data", (head) => answer(socket, head.toString("latin1")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : assert.fail();
  return {
    url: `http://127.0.0.1:${port}`,
    open,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
