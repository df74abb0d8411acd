/** A recovery from servers that mean no good, over real sockets. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { NightlatchError } from "../../../src/core/errors.ts";
import type { FlattenedJwe } from "../../../src/formats/jose/jwe.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { exchange } from "../../../src/system/http.ts";
import { host } from "../../support/http-host.ts";
import { NO_DEVICES } from "../../support/no-devices.ts";
import { clevisVectors, playTangs } from "../../vectors/tangs.ts";

const power = { ...NO_DEVICES, request: exchange, random: randomBytes };

/** A binding to whatever answers at this address. */
function bindingTo(url: string): FlattenedJwe {
  const [, server] = clevisVectors.servers;
  return sealToAdvertisement(power, url, parseAdvertisement(server?.advertisement ?? null), Buffer.from("secret"));
}

const ok = (body: string) =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/jwk+json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const drip = (socket: Socket): void => {
  socket.write("HTTP/1.1 200 OK\r\n\r\n");
  const timer = setInterval(() => socket.write(" "), 5);
  socket.on("close", () => clearInterval(timer));
};
const flood = (socket: Socket): void => {
  const more = () => {
    while (!socket.destroyed && socket.write(Buffer.alloc(1 << 16, " "))) {}
  };
  socket.write("HTTP/1.1 200 OK\r\n\r\n");
  socket.on("drain", more);
  more();
};

const SERVERS: readonly (readonly [string, (socket: Socket) => void, string])[] = [
  ["says nothing", () => {}, "net/timeout"],
  ["drips", drip, "net/timeout"],
  ["floods", flood, "net/too-large"],
  [
    "promises a gigabyte",
    (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{"),
    "net/too-large",
  ],
  ["hangs up", (socket) => socket.end(), "net/unreachable"],
  ["resets", (socket) => socket.resetAndDestroy(), "net/unreachable"],
  ["speaks another protocol", (socket) => socket.end("220 smtp.example ESMTP\r\n"), "net/unreachable"],
  [
    "redirects to where a key may be had",
    (socket) => socket.end(`HTTP/1.1 307 X\r\nLocation: ${clevisVectors.servers[1]?.url}\r\n\r\n`),
    "pin/bad-reply",
  ],
  ["shows a page to log in at", (socket) => socket.end(ok("<html>log in</html>")), "pin/bad-reply"],
  ["answers with a list", (socket) => socket.end(ok("[]")), "pin/bad-reply"],
  ["answers with JSON that is 10 000 deep", (socket) => socket.end(ok("[".repeat(10_000))), "pin/bad-reply"],
  ["answers with a name twice", (socket) => socket.end(ok('{"kty":"EC","kty":"EC"}')), "pin/bad-reply"],
  [
    "answers with a point off the curve",
    (socket) => socket.end(ok(JSON.stringify({ kty: "EC", crv: "P-256", x: "A".repeat(43), y: "A".repeat(43) }))),
    "pin/bad-reply",
  ],
];

for (const [name, answer, code] of SERVERS) {
  test(`a server that ${name}`, async () => {
    await using server = await host(answer);
    const failed = await recoverSecret(power, bindingTo(server.url), {
      timeoutMs: code === "net/timeout" ? 200 : 20_000,
    }).then(
      () => assert.fail("it gave a secret"),
      (error: NightlatchError) => error,
    );
    assert.equal(failed.code, code, failed.message);
    assert.ok(failed.message.startsWith(server.url.slice("http://".length)), failed.message);
    assert.ok(failed.message.length < 200, failed.message);
  });
}

test("a server that gives back what it was sent does not open the binding", async () => {
  await using server = await host((socket, head) => socket.end(ok(head.split("\r\n\r\n")[1] ?? "")));
  await assert.rejects(recoverSecret(power, bindingTo(server.url), { timeoutMs: 20_000 }), { code: "pin/wrong-key" });
});

test("an agent that gives up leaves no connection open, whichever of the servers it waited for", async () => {
  const stop = new AbortController();
  await using server = await host(() => stop.abort());
  const jwe = bindingTo(server.url);
  await assert.rejects(recoverSecret(power, jwe, { timeoutMs: 20_000, signal: stop.signal }), {
    code: "net/timeout",
    message: /was given up$/,
  });
  while (server.open.size > 0)
    await Promise.all([...server.open].map((socket) => new Promise((done) => socket.once("close", done))));
});

test("an address inside a binding cannot carry a header into the request; with credentials nothing is asked, and no message repeats them", async () => {
  let seen = "";
  await using server = await host((socket, head) => {
    seen = head;
    socket.end("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
  });
  const attempt = (url: string) =>
    recoverSecret(power, bindingTo(url), { timeoutMs: 20_000 }).catch((e: NightlatchError) => e);
  const error = await attempt(server.url.replace("http://", "http://user:hunter2@"));
  assert.ok(error instanceof Error);
  assert.equal(error.message, "the address of the binding's server holds credentials, and is not asked");
  assert.doesNotMatch(`${error.stack}`, /hunter2/);
  assert.equal(seen, "");
  await attempt(`${server.url}/a%0d%0aX-Y:z`);
  assert.match(seen, /^POST \/a%0d%0aX-Y:z\/rec\/[\w-]{43} HTTP\/1\.1\r\n/);
  assert.doesNotMatch(seen, /\r\nx-y/i);
});

test("an advertisement is bounded and judged the same way", async () => {
  await using flooding = await host(flood);
  await assert.rejects(fetchAdvertisement(power, flooding.url, { timeoutMs: 20_000 }), { code: "net/too-large" });
  await using missing = await host((socket) => socket.end("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"));
  await assert.rejects(fetchAdvertisement(power, missing.url, { timeoutMs: 20_000 }), {
    code: "pin/bad-reply",
    message: `${missing.url.slice("http://".length)} gives no advertisement (status 404)`,
  });
  await using page = await host((socket) => socket.end(ok("<html>")));
  await assert.rejects(fetchAdvertisement(power, page.url, { timeoutMs: 20_000 }), { code: "json/malformed" });
});

test("the vectors' own servers open the same binding, so that nothing above fails by itself", async () => {
  const [, server] = clevisVectors.servers;
  const jwe = bindingTo(server?.url ?? "");
  assert.equal((await recoverSecret(playTangs().power, jwe, { timeoutMs: 20_000 })).reveal().toString(), "secret");
});
