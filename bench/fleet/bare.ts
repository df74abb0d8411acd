/**
 * The machine's limit for bench/fleet.ts, in a process of its own: node bench/fleet/bare.ts. To
 * whatever arrives on a connection it writes the same answer, as long as that to a heartbeat is,
 * and looks at nothing. A line of JSON on stdout says its port; an end of standard input ends it.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { formatReply } from "../../src/server/http/reply.ts";

const ANSWER_BYTES = 37;
const reply = { status: 200, headers: ["content-type", "application/octet-stream"], body: Buffer.alloc(ANSWER_BYTES) };
const answer = Buffer.from(formatReply(reply, { isHead: false, keptSeconds: 60 }), "latin1");
const server = createServer((socket) => {
  socket.on("error", () => {}); // `close` follows
  socket.on("data", () => socket.write(answer));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`);
process.stdin.resume();
await once(process.stdin, "end");
server.close();
