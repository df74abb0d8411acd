/**
 * Runs in a network namespace of its own: a server, and one host that opens connections from many
 * addresses of its /64 and finishes no request. Prints what became of them, and of a request from
 * elsewhere, as JSON.
 */
// @ts-nocheck

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { serve } from "../serve.ts";
import { exchangeRaw, rawRequest } from "./client.ts";

const COUNT = Number(process.argv[2]);

await using server = await serve({ args: ["--listen", "[::]:0"] });
const port = Number(new URL(server.url).port);
const sockets: Socket[] = [];
let cut = 0;
for (let index = 0; index < COUNT; index++) {
  const socket = connect({ host: "fd99::1", port, localAddress: `fd99::${(index + 16).toString(16)}` });
  socket.on("error", () => {});
  socket.on("close", () => cut++);
  await once(socket, "connect");
  socket.resume();
  socket.write("GET /healthz HTTP/1.1\r\n");
  sockets.push(socket);
}
let status = 0;
// The server may be a while behind: what it was not told yet it is told in a few more requests.
for (let round = 0; round < 200 && cut < COUNT - 1024; round++) {
  ({ status } = await exchangeRaw(`http://127.0.0.1:${port}`, rawRequest("GET", "/healthz")));
}
process.stdout.write(JSON.stringify({ opened: sockets.length, cut, status }));
for (const socket of sockets) socket.destroy();
