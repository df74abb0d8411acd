/**
 * What a server takes for a request: no more than Node's own parser does, and the same of it, in
 * whatever pieces it comes.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { createServer, METHODS } from "node:http";
import { Duplex } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import {
  Http1BodyReader,
  type Http1RequestHead,
  parseHttp1RequestHead,
} from "../../../../src/formats/network/http1-request.ts";

const LIMIT = 4096;
const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

const headOf = (...lines: string[]) => parseHttp1RequestHead(lines.join("\r\n"));
const good = (...fields: string[]) => headOf("POST /a HTTP/1.1", "Host: x", ...fields);

test("a head tells what was asked for, and how its body is framed", () => {
  const head = {
    method: "POST",
    target: "/a",
    isKept: true,
    framing: "none",
    lengthBytes: 0,
    awaitsContinue: false,
  } as const;
  const cases: readonly (readonly [Partial<Http1RequestHead>, ReturnType<typeof good>])[] = [
    [{}, good()],
    [{}, good("Content-Length: 0")],
    [{ framing: "length", lengthBytes: 12 }, good("CONTENT-LENGTH: \t12\t ")],
    [{ framing: "chunked" }, good("Transfer-Encoding: Chunked")],
    [{ isKept: false }, good("Connection: close")],
    [{ isKept: false }, good("Connection: foo , Close")],
    [{ isKept: true }, good("Connection: keep-alive")],
    [{ awaitsContinue: true, framing: "length", lengthBytes: 1 }, good("Expect: 100-Continue", "Content-Length: 1")],
    [{ isKept: false }, headOf("POST /a HTTP/1.0")],
    [{ method: "M-SEARCH" }, headOf("M-SEARCH /a HTTP/1.1", "Host:")],
    [{ target: "/~%!*'();:@&=+$,/?#[]" }, headOf("POST /~%!*'();:@&=+$,/?#[] HTTP/1.1", "Host: x")],
  ];
  for (const [expected, found] of cases) assert.deepEqual(found, { ...head, ...expected });
});

test("what can be understood in two ways is no request", () => {
  const wrong: readonly (readonly [number, ReturnType<typeof good>])[] = [
    [400, good("Content-Length: 1", "Content-Length: 1")],
    [400, good("Content-Length: 1, 1")],
    [400, good("Content-Length: +1")],
    [400, good("Content-Length: 0x1")],
    [400, good("Content-Length: 1 2")],
    [400, good("Content-Length:")],
    [400, good("Content-Length: \u00a05")],
    [400, good("Content-Length: 9999999999999999")],
    [400, good("Content-Length: 1", "Transfer-Encoding: chunked")],
    [400, good("Transfer-Encoding: chunked", "Content-Length: 1")],
    [400, good("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
    [400, good("Transfer-Encoding: gzip, chunked")],
    [400, good("Transfer-Encoding: identity")],
    [400, good("Transfer-Encoding: \u000bchunked")],
    [400, headOf("POST /a HTTP/1.0", "Transfer-Encoding: chunked")],
    [400, good("Content-Length : 1")],
    [400, good(" Content-Length: 1")],
    [400, good("X: a", " folded")],
    [400, good("X")],
    [400, good(": x")],
    [400, good("")],
    [400, good("X: a\nContent-Length: 1")],
    [400, good("X: a\rContent-Length: 1")],
    [400, good("X: \0")],
    [400, good("Host: y")],
    [400, headOf("POST /a HTTP/1.1")],
    [400, headOf("POST  /a HTTP/1.1", "Host: x")],
    [400, headOf("POST a HTTP/1.1", "Host: x")],
    [400, headOf("POST /a b HTTP/1.1", "Host: x")],
    [400, headOf("POST /\u00e4 HTTP/1.1", "Host: x")],
    [400, headOf("POST /a HTTP/1.1 ", "Host: x")],
    [400, headOf("POST /a HTTP/2.0", "Host: x")],
    [400, headOf("POST /a http/1.1", "Host: x")],
    [400, headOf("POST /a", "Host: x")],
    [400, headOf("")],
    [417, good("Expect: more")],
  ];
  for (const [index, [status, found]] of wrong.entries()) assert.equal(found, status, `case ${index}`);
});

test("a long value costs no more than its length", () => {
  const blanks = `a${" \t".repeat(7000)}a`;
  const head = good(`Connection: ${blanks}`, `Expect: 100-continue${" ".repeat(8000)}`);
  assert.equal(typeof head, "object");
});

/** A whole body, or the status that refuses it, read in pieces of these lengths. */
function readBody(head: Http1RequestHead, bytes: Buffer, lengths: readonly number[], limit = LIMIT) {
  const reader = new Http1BodyReader(head, limit);
  let at = 0;
  for (let piece = 0; at < bytes.length && reader.state === "more"; piece++) {
    const input = bytes.subarray(at, at + Math.max(1, lengths[piece % Math.max(1, lengths.length)] ?? bytes.length));
    const taken = reader.push(input, 0);
    assert.ok(taken === input.length || reader.state !== "more");
    at += taken;
    input.fill(0xee, 0, taken); // it is the caller's again
  }
  return { state: reader.state, body: reader.body.toString("latin1"), end: at, capacityBytes: reader.capacityBytes };
}

const CHUNKED = good("Transfer-Encoding: chunked") as Http1RequestHead;

test("bodies in chunks: what is one, and what is none", () => {
  const cases: readonly (readonly [string, string | number])[] = [
    ["0\r\n\r\n", ""],
    ["1\r\na\r\n0\r\n\r\n", "a"],
    ["00a\r\n0123456789\r\n1\r\nb\r\n000\r\n\r\n", "0123456789b"],
    ["1;x=y\r\na\r\n0\r\n\r\n", 400],
    ["1\r\na\r\n0\r\nTrailer: x\r\n\r\n", 400],
    ["\r\n", 400],
    ["g\r\n", 400],
    ["1 \r\na\r\n0\r\n\r\n", 400],
    ["1\na\r\n0\r\n\r\n", 400],
    ["-1\r\n", 400],
    ["1\r\nab", 400],
    ["1\r\na\n", 400],
    ["1\r\na\r\r", 400],
    ["0\r\nX: a\n", 400],
    ["0\r\nX: a\r\r", 400],
    ["1;\0\r\n", 400],
    [`1;${"x".repeat(300)}`, 400],
    [`0\r\n${"X: y\r\n".repeat(900)}`, 400],
    ["1000\r\n", 413],
    ["fffffff\r\n", 413],
    ["00000000", 413],
    ["fffffffffffffffffff\r\n", 413],
    [`${"800\r\n".concat("x".repeat(0x800), "\r\n").repeat(2)}`, 413],
  ];
  for (const [text, expected] of cases) {
    for (const lengths of [[], [1], [3]]) {
      const { state, body } = readBody(CHUNKED, Buffer.from(text, "latin1"), lengths);
      assert.deepEqual(state === "whole" ? body : state, expected, JSON.stringify(text.slice(0, 40)));
    }
  }
});

test("one byte in each chunk keeps as much as the bytes, and no more", () => {
  const bytes = Buffer.from("1\r\na\r\n".repeat(LIMIT - 1));
  const { state, body, capacityBytes } = readBody(CHUNKED, bytes, [1000]);
  assert.equal(state, "more");
  assert.equal(body.length, LIMIT - 1);
  assert.ok(capacityBytes <= 2 * LIMIT, `${capacityBytes}`);
});

interface Understood {
  readonly method: string | undefined;
  readonly target: string | undefined;
  readonly body: string;
}

/** What Node's own server takes from these bytes: its first request, or null. */
async function byNode(bytes: Buffer): Promise<Understood | null> {
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const server = createServer({ maxHeaderSize: 16_384 });
  // The bytes end, and the answer is not looked at.
  Object.assign(server, { httpAllowHalfOpen: true });
  const found = new Promise<Understood | null>((resolve) => {
    server.on("request", (request) => {
      const { method, url } = request;
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => resolve({ method, target: url, body: Buffer.concat(chunks).toString("latin1") }));
      request.on("error", () => resolve(null));
    });
    server.on("checkContinue", (request, response) => server.emit("request", request, response));
    server.on("checkExpectation", () => resolve(null));
    server.on("connect", ({ method, url }) => resolve({ method, target: url, body: "" }));
    server.on("clientError", () => resolve(null));
    wire.on("close", () => resolve(null));
  });
  server.emit("connection", wire);
  wire.push(bytes);
  wire.push(null);
  const understood = await found;
  wire.destroy();
  return understood;
}

/** And how many bytes it took. */
function byUs(bytes: Buffer, lengths: readonly number[]): { understood: Understood; lengthBytes: number } | null {
  const end = bytes.indexOf("\r\n\r\n");
  const head = end < 0 ? 400 : parseHttp1RequestHead(bytes.toString("latin1", 0, end));
  if (typeof head === "number") return null;
  const { state, body, end: took } = readBody(head, Buffer.from(bytes.subarray(end + 4)), lengths, 1 << 20);
  const { method, target } = head;
  return state === "whole" ? { understood: { method, target, body }, lengthBytes: end + 4 + took } : null;
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,11}$/);
const field = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom("X-A", "Accept", "User-Agent"), fc.stringMatching(/^[ -~]{0,20}$/)),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant("Connection"), fc.constantFrom("close", "keep-alive", "x, close")) },
);
const body = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const framed = fc.oneof(
  body.map((text) => ({ fields: [["Content-Length", String(text.length)] as const], text })),
  fc.array(body, { maxLength: 5 }).map((parts) => ({
    fields: [["Transfer-Encoding", "chunked"] as const],
    text: `${parts
      .filter((part) => part !== "")
      .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      .join("")}0\r\n\r\n`,
  })),
);
const request = fc
  .record({
    method: fc.constantFrom("POST", "PUT", "DELETE"),
    path: token,
    fields: fc.array(field, { maxLength: 5 }),
    framed,
  })
  .map(({ method, path, fields, framed: { fields: framing, text } }) => {
    const lines = [["Host", "x"], ...fields, ...framing].map(([name, value]) => `${name}: ${value}`);
    return Buffer.from([`${method} /${path} HTTP/1.1`, ...lines, "", text].join("\r\n"), "latin1");
  });
const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 });

test("a request means the same to us and to Node, in whatever pieces it comes", async () => {
  await fc.assert(
    fc.asyncProperty(request, pieces, async (bytes, lengths) => {
      const ours = byUs(bytes, lengths);
      assert.equal(ours?.lengthBytes, bytes.length);
      assert.deepEqual(ours?.understood, await byNode(bytes));
    }),
    { numRuns: full ? 3000 : 200 },
  );
});

/** Bytes that matter to a parser, in the place of others. */
const damage = fc.array(
  fc.tuple(
    fc.nat(),
    fc.constantFrom("", "\r", "\n", "\r\n", " ", "\t", ":", ",", ";", "0", "1", "f", "\0", "\x0b", "\xa0", "+", "-"),
  ),
  { minLength: 1, maxLength: 3 },
);

test("a damaged request that we take, Node takes for the same", async () => {
  await fc.assert(
    fc.asyncProperty(request, damage, pieces, async (bytes, damages, lengths) => {
      let text = bytes.toString("latin1");
      for (const [place, put] of damages) {
        const at = place % text.length;
        text = text.slice(0, at) + put + text.slice(at + (place % 2));
      }
      const damaged = Buffer.from(text, "latin1");
      const ours = byUs(damaged, lengths);
      // Methods that Node does not know are no request to it, and 404 or 405 to us.
      if (ours !== null && METHODS.includes(ours.understood.method ?? ""))
        assert.deepEqual(await byNode(damaged.subarray(0, ours.lengthBytes)), ours.understood);
    }),
    { numRuns: full ? 20_000 : 600 },
  );
});
