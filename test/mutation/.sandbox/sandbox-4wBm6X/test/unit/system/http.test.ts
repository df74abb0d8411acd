// @ts-nocheck
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { NightlatchError } from "../../../src/core/errors.ts";
import { exchange } from "../../../src/system/http.ts";
import type { HttpRequest } from "../../../src/system/port.ts";
import { host } from "../../support/http-host.ts";

/** `once` of node:events would take a reset for a failure. */
const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));

const get = (url: string, more: Partial<HttpRequest> = {}) =>
  exchange({ method: "GET", url, timeoutMs: 20_000, limitBytes: 1000, ...more });

async function failure(answer: Promise<unknown>): Promise<NightlatchError> {
  return answer.then(
    (value) => assert.fail(`it answered: ${JSON.stringify(value)}`),
    (error: NightlatchError) => error,
  );
}

/** The client's own port is in no message, the server's is. */
async function fails(
  answer: (socket: Socket) => void,
  code: string,
  message: RegExp,
  more: Partial<HttpRequest> = {},
): Promise<void> {
  await using server = await host(answer);
  const error = await failure(get(`${server.url}/x`, more));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(error.message.startsWith(server.url.slice("http://".length)), error.message);
  while (server.open.size > 0) await Promise.all([...server.open].map(closed));
}

test("an answer comes through: status, type and body, whichever way it is framed", async () => {
  const framings = [
    "HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "HTTP/1.0 201 Created\r\nContent-Type: a/b\r\n\r\nhello",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
  ];
  for (const framing of framings) {
    await using server = await host((socket) => socket.end(framing));
    assert.deepEqual(await get(server.url), { status: 201, contentType: "a/b", body: Buffer.from("hello") });
  }
});

test("a request is sent as it was asked for, on a connection of its own", async () => {
  const heads: string[] = [];
  await using server = await host((socket, head) => {
    heads.push(head);
    socket.end("HTTP/1.1 204 No Content\r\n\r\n");
  });
  await exchange({
    method: "POST",
    url: `${server.url}/rec/x?y`,
    headers: { "content-type": "c/d" },
    body: Buffer.from("body"),
    timeoutMs: 20_000,
    limitBytes: 10,
  });
  const [head = ""] = heads;
  assert.ok(head.startsWith("POST /rec/x?y HTTP/1.1\r\n"), head);
  assert.ok(head.endsWith("\r\n\r\nbody"), head);
  assert.match(head, /\r\nconnection: close\r\n/i);
  assert.match(head, /\r\ncontent-length: 4\r\n/i);
  assert.match(head, /\r\ncontent-type: c\/d\r\n/i);
});

test("a body is made once the server has been connected to, and once; what its making throws ends the request", async () => {
  await using server = await host((socket, head) =>
    socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${head.slice(-4)}`),
  );
  let made = 0;
  let connecting: boolean | undefined;
  const body = () => {
    made++;
    connecting = process.getActiveResourcesInfo().includes("ConnectWrap");
    return Buffer.from("late");
  };
  const answer = await get(server.url, { method: "POST", body });
  assert.deepEqual([answer.body.toString(), made, connecting], ["late", 1, true]);
  const defect = new RangeError("no body");
  const fail = () => {
    throw defect;
  };
  assert.equal(await failure(get(server.url, { method: "POST", body: fail })), defect);
  while (server.open.size > 0) await Promise.all([...server.open].map(closed));
  assert.equal(
    await get(server.url, { body, signal: AbortSignal.abort() }).catch((error) => error.code),
    "net/timeout",
  );
  assert.equal(made, 1);
});

test("a redirect is an answer like any other", async () => {
  await using server = await host((socket) =>
    socket.end("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
  );
  assert.equal((await get(server.url)).status, 302);
});

const HEAD = "HTTP/1.1 200 OK\r\n";

test("silence ends at the deadline", () =>
  fails(() => {}, "net/timeout", /did not answer within 150 ms$/, { timeoutMs: 150 }));

test("an answer that drips in ends at the deadline, its head or its body", async () => {
  const drip = (start: string, more: string) => (socket: Socket) => {
    socket.write(start);
    const timer = setInterval(() => socket.write(more), 10);
    socket.on("close", () => clearInterval(timer));
  };
  const message = /did not answer within 200 ms$/;
  await fails(drip(HEAD, "X: y\r\n"), "net/timeout", message, { timeoutMs: 200 });
  await fails(drip(`${HEAD}Content-Length: 900\r\n\r\n`, "x"), "net/timeout", message, { timeoutMs: 200 });
  await fails(drip(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, "1\r\nx\r\n"), "net/timeout", message, {
    timeoutMs: 200,
  });
  await fails(drip("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"), "net/timeout", message, {
    timeoutMs: 200,
  });
});

test("a body above the limit is cut off, whether its length was told or not", async () => {
  const flood = (head: string) => (socket: Socket) => {
    socket.write(head);
    const more = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(1 << 16, "1000\r\n"))) {}
    };
    socket.on("drain", more);
    more();
  };
  const message = /answered with over 1000 bytes$/;
  await fails((socket) => socket.write(`${HEAD}Content-Length: 1001\r\n\r\n`), "net/too-large", message);
  await fails(flood(`${HEAD}\r\n`), "net/too-large", message);
  await fails(flood(`${HEAD}Transfer-Encoding: chunked\r\n\r\nfffffff\r\n`), "net/too-large", message);
  await using exact = await host((socket) => socket.end(`${HEAD}\r\n${"x".repeat(1000)}`));
  assert.equal((await get(exact.url)).body.length, 1000);
});

test("headers without end are cut off", async () => {
  const endless = (socket: Socket) => {
    socket.write(HEAD);
    const more = () => {
      while (!socket.destroyed && socket.write(`X-${"a".repeat(500)}: y\r\n`.repeat(50))) {}
    };
    socket.on("drain", more);
    more();
  };
  await fails(endless, "net/too-large", /answered with over 16384 bytes of headers$/);
});

test("what is not HTTP is told as that", async () => {
  const answers = [
    "SSH-2.0-OpenSSH_9.2\r\n",
    "<html>\r\n\r\n",
    "HTTP/1.1 abc\r\n\r\n",
    `${HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
    `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `${HEAD}Bad Header\r\n\r\n`,
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  ];
  for (const answer of answers) {
    await fails((socket) => void socket.end(answer), "net/unreachable", /did not answer in HTTP \([a-z ]+\)$/);
  }
});

test("an answer that breaks off is none", async () => {
  const broken = /(broke off its answer|cannot be reached) \(ECONNRESET\)$/;
  await fails((socket) => void socket.end(), "net/unreachable", broken);
  await fails((socket) => void socket.end(`${HEAD}Content-Length: 9\r\n\r\nhello`), "net/unreachable", broken);
  await fails(
    (socket) => void socket.end(`${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n`),
    "net/unreachable",
    broken,
  );
  await fails((socket) => void socket.resetAndDestroy(), "net/unreachable", broken);
});

test("nobody there, and an address that is none", async () => {
  const gone = await host(() => {});
  await gone[Symbol.asyncDispose]();
  const error = await failure(get(gone.url));
  assert.equal(error.code, "net/unreachable");
  assert.match(error.message, /^127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)$/);
  for (const url of ["", "ftp://x", "file:///etc/shadow", "http://", "http://[::"]) {
    const refused = await failure(get(url));
    assert.equal(refused.code, "net/unreachable");
    assert.equal(refused.message, "the address is not an http one");
  }
});

test("credentials in an address are in no message", async () => {
  const error = await failure(get("http://user:hunter2@127.0.0.1:1/path"));
  assert.doesNotMatch(error.message + error.stack, /hunter2|user/);
});

test("a request is given up when its signal says so: before, during and after it", async () => {
  const early = await failure(get("http://127.0.0.1:1", { signal: AbortSignal.abort() }));
  assert.deepEqual([early.code, early.message], ["net/timeout", "127.0.0.1:1 was given up"]);

  const stop = new AbortController();
  await using silent = await host(() => stop.abort());
  const error = await failure(get(silent.url, { signal: stop.signal }));
  assert.equal(error.code, "net/timeout");
  assert.match(error.message, /was given up$/);

  const late = new AbortController();
  await using server = await host((socket) => socket.end(`${HEAD}Content-Length: 2\r\n\r\nok`));
  assert.equal((await get(server.url, { signal: late.signal })).body.toString(), "ok");
  late.abort();
});

test("a Unix socket takes the place of the host", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-http-"));
  const socketPath = join(folder, "s");
  const server = createHttpServer((request, response) => response.end(request.url)).listen(socketPath);
  try {
    await once(server, "listening");
    assert.equal((await get("http://admin/path", { socketPath })).body.toString(), "/path");
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
