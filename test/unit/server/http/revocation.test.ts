/** In one process, so that the order in which answers leave is seen where they leave. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { thumbprintOf } from "../../../../src/formats/jose/jwk.ts";
import { buildEnrolRequest, identityThumbprint, parseEnrolAnswer } from "../../../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../../../src/formats/own/invite.ts";
import { Answers } from "../../../../src/server/http/answers.ts";
import { Budget } from "../../../../src/server/http/budget.ts";
import { Connection, type Hall } from "../../../../src/server/http/connection.ts";
import { Places } from "../../../../src/server/http/places.ts";
import { wireOf } from "../../../../src/server/http/server.ts";
import { Turn } from "../../../../src/server/http/turn.ts";
import { startServer } from "../../../../src/server/serve.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { type Home, makeHome, recoveryBody } from "../../../support/server/harness.ts";

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

interface Running extends AsyncDisposable {
  readonly server: Awaited<ReturnType<typeof startServer>>;
  readonly admin: string;
  readonly log: string[];
}

async function start(home: Home): Promise<Running> {
  const admin = join(home.path, "admin.sock");
  const log: string[] = [];
  const listen = { host: "127.0.0.1", port: 0 };
  const server = await startServer(nodeSystem, { folder: home.folder, listen, admin, log: (line) => log.push(line) });
  return { server, admin, log, [Symbol.asyncDispose]: () => server.stop() };
}

function send(options: object, body: Uint8Array | string = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ method: "POST", ...options }, (incoming) => {
      const answer = buffer(incoming).then((body) => ({ status: incoming.statusCode ?? 0, body }));
      answer.then(resolve, reject);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Enrols a machine; the path of its recovery. */
async function enrol({ server, admin }: Running, name: string): Promise<string> {
  const wish = JSON.stringify({ name, lifetimeMs: 3_600_000 });
  const { body } = await send({ socketPath: admin, path: "/api/v1/invites" }, wish);
  const { id, key, thumbprint } = parseInvite((JSON.parse(String(body)) as { invite: string }).invite);
  const identity = generateKeyPairSync("ed25519").privateKey;
  const enrolment = buildEnrolRequest(identity, { id, key }, { nonce: randomBytes(16), volume: "v" });
  const answer = await send({ ...server.listen, path: "/enroll" }, enrolment);
  const { latch, advertisement } = parseEnrolAnswer(answer.body, {
    request: enrolment,
    machine: identityThumbprint(identity),
    serverThumbprint: thumbprint,
  });
  return `/latch/${latch}/rec/${thumbprintOf(advertisement.exchangeKeys[0])}`;
}

const BODY = recoveryBody();

/** More than may be under way, so that a thread multiplies. */
const HAMMERS = 300;

test("in the order in which answers leave, no release comes after the acknowledgement", async () => {
  using home = makeHome();
  await using running = await start(home);
  const left: string[] = [];
  using _watch = watchAnswers((status, text) =>
    left.push(`${status} ${text.includes('"key_ops"') ? "release" : text}`),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: HAMMERS });
  for (const change of ["revoke", "lock"]) {
    const path = await enrol(running, `to-${change}`);
    let stopped = false;
    const hammer = async () => {
      while (!stopped) {
        const { status } = await send({ ...running.server.listen, path, agent }, BODY);
        if (status === 403 || status === 410) stopped = true;
      }
    };
    const hammers = Array.from({ length: HAMMERS }, hammer);
    left.length = 0;
    const released = "200 release";
    while (left.filter((line) => line === released).length < 50) await new Promise((resolve) => setImmediate(resolve));
    const verb = `/api/v1/machines/to-${change}/${change}`;
    assert.equal((await send({ socketPath: running.admin, path: verb })).status, 200);
    await Promise.all(hammers);
    const acknowledged = left.findIndex((line) => line.startsWith("200 ") && line !== released);
    assert.ok(acknowledged > 0);
    assert.ok(left.lastIndexOf(released) < acknowledged);
    assert.ok(left.some((line) => line.startsWith(change === "lock" ? "403 " : "410 ")));
  }
  agent.destroy();
});

/** Tells of each answer that this process writes to a socket, as it is written. */
function watchAnswers(tell: (status: number, text: string) => void): Disposable {
  const { write } = Socket.prototype;
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    const text = String(args[0]);
    const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
    if (status !== undefined) tell(Number(status), text);
    return write.apply(this, args);
  } as typeof write;
  return {
    [Symbol.dispose]: () => {
      Socket.prototype.write = write;
    },
  };
}

/**
 * Starts a server whose answers are greater than what the kernel keeps for a client that does not
 * read.
 */
async function startUnread(
  timeoutMs: number,
): Promise<{ answers: Answers; client: Socket; sent: () => number } & AsyncDisposable> {
  const answers = new Answers(nodeSystem, timeoutMs);
  let sent = 0;
  const hall: Hall = {
    clock: nodeSystem,
    patience: { headersTimeoutMs: 60_000, requestTimeoutMs: 60_000, keepAliveMs: 60_000 },
    places: new Places({ connections: 9, connectionsOfOneGroup: 9, connectionsOfOneLine: 9 }),
    budget: new Budget(1 << 20),
    turn: new Turn(nodeSystem, 1000),
    answers,
    isClosing: false,
    judge: () => {
      sent++;
      return { status: 200, headers: [], body: Buffer.alloc(32 << 20) };
    },
    serve: () => assert.fail("it was answered already"),
    defer: (connection) => setImmediate(() => connection.goOn()),
    left: () => {},
  };
  const server = createServer({ pauseOnConnect: true }, (socket: Socket & { _handle?: unknown }) => {
    const handle = socket._handle;
    socket._handle = null;
    new Connection(hall, wireOf({ handle }), nodeSystem.monotonicMs()).enter();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(client, "connect");
  client.pause();
  client.on("error", () => {});
  return { answers, client, sent: () => sent, [Symbol.asyncDispose]: async () => void server.close() };
}

test("an answer that a client does not read is cut off before it is said that all have left", async () => {
  await using unread = await startUnread(10);
  unread.client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2));
  while (unread.sent() < 1) await new Promise((resolve) => setImmediate(resolve));
  await unread.answers.settle();
  let received = 0;
  unread.client.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  const closed = new Promise((resolve) => unread.client.once("close", resolve));
  unread.client.resume();
  await closed;
  assert.ok(received < 32 << 20, "the first answer was cut");
  assert.equal(unread.sent(), 1, "the second request was not even looked at");
});

test("answers that a client reads late, but in time, are waited for", async () => {
  await using unread = await startUnread(60_000);
  unread.client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  while (unread.sent() < 1) await new Promise((resolve) => setImmediate(resolve));
  let received = 0;
  unread.client.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  const settled = unread.answers.settle();
  unread.client.resume();
  await settled;
  while (received < 32 << 20) await once(unread.client, "data");
  unread.client.destroy();
});
