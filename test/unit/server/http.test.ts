/** What strangers on the network can do to the server: nothing much. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { Answers } from "../../../src/server/http/answers.ts";
import { type Limits, MachineServer } from "../../../src/server/http/server.ts";
import { enrolled, makeHome, openService, recoveryBody, type TestLatch } from "./harness.ts";

const PATIENT: Partial<Limits> = {
  connections: 64,
  connectionsOfOneLine: 64,
  headersTimeoutMs: 60_000,
  requestTimeoutMs: 60_000,
  keepAliveMs: 60_000,
  checkMs: 20,
};

interface Listening extends AsyncDisposable {
  readonly port: number;
  readonly latch: TestLatch;
  readonly failures: unknown[];
}

async function listen(limits: Partial<Limits> = {}): Promise<Listening> {
  const home = makeHome();
  const service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const failures: unknown[] = [];
  const server = new MachineServer(service, new Answers(), (error) => failures.push(error), { ...PATIENT, ...limits });
  server.net.listen(0, "127.0.0.1");
  await once(server.net, "listening");
  return {
    port: (server.net.address() as AddressInfo).port,
    latch,
    failures,
    [Symbol.asyncDispose]: async () => {
      await server.close(0);
      await service[Symbol.asyncDispose]();
      home[Symbol.dispose]();
    },
  };
}

async function open(port: number): Promise<{ socket: Socket; closed: Promise<string> }> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += String(chunk);
  });
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(text)));
  await once(socket, "connect");
  return { socket, closed };
}

const HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

async function isHealthy(port: number): Promise<boolean> {
  const { socket, closed } = await open(port);
  socket.write(HEALTH);
  return (await closed).startsWith("HTTP/1.1 200");
}

test("who sends a header byte by byte, or a body, or nothing, is cut off", async () => {
  await using server = await listen({ headersTimeoutMs: 50, requestTimeoutMs: 100, keepAliveMs: 50 });
  const path = `/latch/${server.latch.latchId}/rec/${server.latch.kid}`;
  for (const [what, begin] of [
    ["nothing", ""],
    ["half a line", "POST /lat"],
    ["half a header", `POST ${path} HTTP/1.1\r\nHost: x\r\nX: `],
    ["half a body", `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"kty"`],
  ] as const) {
    const { socket, closed } = await open(server.port);
    socket.write(begin);
    assert.match(await closed, /^(HTTP\/1\.1 408 |$)/, what);
  }
  const { socket, closed } = await open(server.port);
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(await closed, /^HTTP\/1\.1 200 /, "a connection that is kept, and then says nothing more");
  assert.ok(await isHealthy(server.port));
});

/** So many that each gives way to the next. */
async function openMany(port: number, count: number): Promise<Awaited<ReturnType<typeof open>>[]> {
  const held = [];
  for (let index = 0; index < count; index++) held.push(await open(port));
  return held;
}

test("who comes when an address has all its places is let in, and the oldest that never asked gives way", async () => {
  await using server = await listen({ connectionsOfOneLine: 4 });
  const held = await openMany(server.port, 4);
  assert.ok(await isHealthy(server.port));
  assert.equal(await held[0]?.closed, "");
  for (const { socket, closed } of held.slice(1)) {
    socket.write(HEALTH);
    assert.match(await closed, /^HTTP\/1\.1 200 /, "the others are still there");
  }
});

test("where all connections are taken, idle ones make room", async () => {
  await using server = await listen({ connections: 4 });
  const held = await openMany(server.port, 4);
  for (const { socket } of held) {
    socket.write(HEALTH.replace("Connection: close\r\n", ""));
    await once(socket, "data");
  }
  assert.ok(await isHealthy(server.port));
  assert.match((await held[0]?.closed) ?? "", /^HTTP\/1\.1 200 /);
  assert.equal(held[1]?.socket.closed, false);
});

test("a kept connection serves request after request, also pipelined", async () => {
  await using server = await listen();
  const path = `/latch/${server.latch.latchId}/rec/${server.latch.kid}`;
  const body = recoveryBody();
  const { socket, closed } = await open(server.port);
  const request = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  socket.write(request.repeat(10) + HEALTH);
  const answers = (await closed).match(/HTTP\/1\.1 \d+/g);
  assert.deepEqual(
    answers,
    Array.from({ length: 11 }, () => "HTTP/1.1 200"),
  );
});

test("what follows a body that was not read is not taken for a request", async () => {
  await using server = await listen();
  const { socket, closed } = await open(server.port);
  socket.write(`POST /enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n${HEALTH}`);
  const text = await closed;
  assert.match(text, /^HTTP\/1\.1 413 .*connection: close.*\{"error":"request\/malformed"\}$/is);
});

test("two lengths, or a length and chunks, are no request", async () => {
  await using server = await listen();
  for (const headers of [
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Content-Length: -1\r\n",
    "Content-Length : 5\r\n",
  ]) {
    const { socket, closed } = await open(server.port);
    socket.write(`POST /enroll HTTP/1.1\r\nHost: x\r\n${headers}\r\n12345`);
    assert.match(await closed, /^HTTP\/1\.1 400 /, headers);
  }
});

test("no bytes bring the server down", async () => {
  await using server = await listen({ headersTimeoutMs: 100, requestTimeoutMs: 100 });
  const path = `/latch/${server.latch.latchId}/rec/${server.latch.kid}`;
  const request = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc
      .string({ maxLength: 60 })
      .map((text) => Buffer.from(`GET /${text} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)),
    fc
      .json()
      .map((body) =>
        Buffer.from(
          `POST ${path} HTTP/1.1\r\nConnection: close\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        ),
      ),
    fc
      .uint8Array({ maxLength: 300 })
      .map((bytes) =>
        Buffer.concat([
          Buffer.from(
            `POST ${path} HTTP/1.1\r\nConnection: close\r\nHost: x\r\nContent-Length: ${bytes.length}\r\n\r\n`,
          ),
          bytes,
        ]),
      ),
    fc
      .json()
      .map((body) =>
        Buffer.from(
          `POST /enroll HTTP/1.1\r\nConnection: close\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        ),
      ),
  );
  await fc.assert(
    fc.asyncProperty(request, async (bytes) => {
      const { socket, closed } = await open(server.port);
      socket.end(bytes);
      assert.match(await closed, /^(HTTP\/1\.1 (400|403|404|405|408|414|431) |$)/);
    }),
    { numRuns: process.env["NIGHTLATCH_TEST_FULL"] ? 3000 : 150 },
  );
  assert.ok(await isHealthy(server.port));
  assert.deepEqual(server.failures, []);
});
