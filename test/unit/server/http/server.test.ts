/** What strangers on the network can do to the server: nothing much. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { Answers } from "../../../../src/server/http/answers.ts";
import { type Limits, limitsWithin } from "../../../../src/server/http/limits.ts";
import type { StrangerServer } from "../../../../src/server/http/server.ts";
import { createMachineServer } from "../../../../src/server/machine-api/server.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import {
  enrolled,
  makeHome,
  type OpenService,
  openService,
  recoveryBody,
  type TestLatch,
} from "../../../support/server/harness.ts";

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
  readonly service: OpenService;
  readonly server: StrangerServer;
}

/** Strangers' patience is measured by a clock that goes. */
function onRealTime(service: OpenService): OpenService {
  return { ...service, system: { ...service.system, monotonicMs: nodeSystem.monotonicMs } };
}

async function listen(limits: Partial<Limits> = {}): Promise<Listening> {
  const home = makeHome();
  const service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const failures: unknown[] = [];
  const server = createMachineServer(onRealTime(service), new Answers(nodeSystem), (error) => failures.push(error), {
    ...PATIENT,
    ...limits,
  });
  server.net.listen(0, "127.0.0.1");
  await once(server.net, "listening");
  return {
    port: (server.net.address() as AddressInfo).port,
    latch,
    failures,
    service,
    server,
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
  await using server = await listen({ headersTimeoutMs: 50, requestTimeoutMs: 100 });
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
});

test("a connection that is kept, and then says nothing more, is closed", async () => {
  await using server = await listen({ keepAliveMs: 50 });
  const { socket, closed } = await open(server.port);
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(await closed, /^HTTP\/1\.1 200 /);
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

test("however few descriptors there are, strangers leave some", () => {
  for (const descriptors of [256, 1024, 4096, 20_000, Number.POSITIVE_INFINITY]) {
    const { connections, arrivals, connectionsOfOneGroup, connectionsOfOneLine } = limitsWithin(descriptors);
    assert.ok(connections + arrivals <= descriptors - 127, `${descriptors}`);
    assert.ok(
      connections <= 4096 && connectionsOfOneLine < connectionsOfOneGroup && connectionsOfOneGroup < connections,
    );
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

test("a server's health may be asked for by GET, HEAD and OPTIONS", async () => {
  await using server = await listen();
  const ask = async (method: string, path = "/healthz") => {
    const { socket, closed } = await open(server.port);
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    return closed;
  };
  assert.match(await ask("GET"), /^HTTP\/1\.1 200 .*content-length: 11\r\n.*\r\n\r\n\{"ok":true\}$/s);
  assert.match(await ask("HEAD"), /^HTTP\/1\.1 200 .*content-length: 11\r\n.*\r\n\r\n$/s);
  assert.match(await ask("OPTIONS"), /^HTTP\/1\.1 204 .*allow: GET, HEAD, OPTIONS\r\n.*\r\n\r\n$/s);
  assert.match(await ask("DELETE"), /^HTTP\/1\.1 405 .*allow: GET, HEAD, OPTIONS\r\n/s);
  assert.match(await ask("OPTIONS", "/enroll"), /^HTTP\/1\.1 405 /);
});

test("path and method are judged before anything of a body comes", async () => {
  await using server = await listen();
  for (const [line, status] of [
    ["POST /nothing", 404],
    ["PUT /enroll", 405],
    [`POST /${"a".repeat(5000)}`, 414],
    [`GET /latch/${server.latch.latchId}/rec/${server.latch.kid}`, 405],
  ] as const) {
    const { socket, closed } = await open(server.port);
    socket.write(`${line} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    assert.match(await closed, new RegExp(`^HTTP/1\\.1 ${status} .*connection: close`, "s"), line.slice(0, 40));
  }
});

function recoveryRequest({ latchId, kid }: TestLatch, more = ""): string {
  const body = recoveryBody();
  return `POST /latch/${latchId}/rec/${kid} HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
}

test("who waits to be told to go on is told so", async () => {
  await using server = await listen();
  const [head = "", body = ""] = recoveryRequest(server.latch, "Expect: 100-continue\r\n").split("\r\n\r\n");
  const { socket, closed } = await open(server.port);
  socket.write(`${head}\r\n\r\n`);
  const [first] = (await once(socket, "data")) as [Buffer];
  assert.equal(String(first), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write(body + HEALTH);
  assert.deepEqual((await closed).match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 100", "HTTP/1.1 200", "HTTP/1.1 200"]);
});

test("in whatever pieces requests come, each has its answer", async () => {
  await using server = await listen();
  const bytes = Buffer.from(recoveryRequest(server.latch).repeat(2) + HEALTH);
  for (const lengthBytes of [1, 2, 7, 64, bytes.length - 1]) {
    const { socket, closed } = await open(server.port);
    socket.setNoDelay(true);
    for (let at = 0; at < bytes.length; at += lengthBytes) {
      socket.write(bytes.subarray(at, at + lengthBytes));
      if (at % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await closed).match(/HTTP\/1\.1 200 /g)?.length, 3, `${lengthBytes}`);
  }
});

/** Releases that are submitted wait until they are let go. */
function holdOperations({ queue }: OpenService): { count: () => number; go: () => void } {
  const { submitRelease } = queue;
  const gate = Promise.withResolvers<void>();
  let count = 0;
  queue.submitRelease = async (operation) => {
    count++;
    await gate.promise;
    return submitRelease.call(queue, operation) as never;
  };
  return { count: () => count, go: gate.resolve };
}

test("of a connection's requests one is under way at a time, and nothing behind it is read into memory", async () => {
  await using server = await listen();
  const operations = holdOperations(server.service);
  const { socket } = await open(server.port);
  const requests = Buffer.from(recoveryRequest(server.latch).repeat(100_000));
  socket.write(requests);
  while (operations.count() === 0) await isHealthy(server.port);
  let before = 0;
  do {
    before = socket.bytesWritten - socket.writableLength;
    for (let round = 0; round < 20; round++) await isHealthy(server.port);
  } while (socket.bytesWritten - socket.writableLength > before);
  assert.equal(operations.count(), 1);
  assert.ok(socket.writableLength > 0, "the kernel holds the rest back");
  operations.go();
  socket.destroy();
});

test("beyond what may wait, the flood is told to come again later, and others are served", async () => {
  await using server = await listen({ operations: 4, waiting: 8 });
  const operations = holdOperations(server.service);
  const flood = await Promise.all(Array.from({ length: 20 }, () => open(server.port)));
  for (const { socket } of flood) socket.write(recoveryRequest(server.latch, "Connection: close\r\n"));
  const early: string[] = [];
  for (const { closed } of flood) void closed.then((text) => early.push(text));
  while (early.length < 8) await isHealthy(server.port);
  assert.equal(operations.count(), 4);
  for (const text of early) assert.match(text, /^HTTP\/1\.1 503 .*retry-after: 1\r\n.*connection: close/s);
  operations.go();
  const answers = await Promise.all(flood.map(({ closed }) => closed));
  assert.equal(answers.filter((text) => text.startsWith("HTTP/1.1 200 ")).length, 12);
  assert.ok(await isHealthy(server.port));
});

test("bodies that come in pieces take no more memory than all of them may, and whole requests pass", async () => {
  const memoryBytes = 200_000;
  await using server = await listen({ memoryBytes, connections: 1000, connectionsOfOneLine: 1000 });
  const path = `/latch/${server.latch.latchId}/rec/${server.latch.kid}`;
  const chunks = "1\r\na\r\n".repeat(10_000);
  let ended = 0;
  for (let count = 0; count < 40; count++) {
    const { socket, closed } = await open(server.port);
    void closed.then(() => ended++);
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
    assert.ok(await isHealthy(server.port));
    assert.ok(server.server.budget.totalBytes <= memoryBytes);
  }
  while (ended === 0) await isHealthy(server.port);
  const { socket, closed } = await open(server.port);
  socket.write(recoveryRequest(server.latch, "Connection: close\r\n"));
  assert.match(await closed, /^HTTP\/1\.1 200 /);
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
