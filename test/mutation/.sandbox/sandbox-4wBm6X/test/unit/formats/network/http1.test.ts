// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { formatHttp1Request, type Http1Response, Http1ResponseReader } from "../../../../src/formats/network/http1.ts";

const LIMITS = { headBytes: 1000, bodyBytes: 100 };

/** Reads a whole connection's bytes, in pieces of these lengths; the rest in one. */
function read(text: string | Uint8Array, pieces: readonly number[] = []): Http1Response {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : Buffer.from(text);
  const reader = new Http1ResponseReader(LIMITS);
  let at = 0;
  for (const length of [...pieces, bytes.length]) {
    const response = reader.push(bytes.subarray(at, at + length));
    if (response !== null) return response;
    at += length;
  }
  return reader.end();
}

test("a request is written as RFC 9112 wants it", () => {
  const request = formatHttp1Request({
    method: "POST",
    url: new URL("http://us%65r:p%zz@[::1]:8080/a b/rec/x?y=z#fragment"),
    headers: { "content-type": "a/b" },
    body: Buffer.from("body"),
  });
  assert.equal(
    request.toString("latin1"),
    "POST /a%20b/rec/x?y=z HTTP/1.1\r\nhost: [::1]:8080\r\nconnection: close\r\n" +
      `authorization: Basic ${Buffer.from("user:p%zz").toString("base64")}\r\n` +
      "content-type: a/b\r\ncontent-length: 4\r\n\r\nbody",
  );
  const get = formatHttp1Request({ method: "GET", url: new URL("http://a") });
  assert.equal(get.toString("latin1"), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
});

test("a header cannot smuggle another", () => {
  const url = new URL("http://a");
  for (const headers of [{ a: "b\r\nc: d" }, { "a b": "c" }, { "": "x" }, { a: "\0" }]) {
    assert.throws(
      () => formatHttp1Request({ method: "GET", url, headers: headers as Record<string, string> }),
      RangeError,
    );
  }
});

const ok = (fields: string, body = "") => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;

const ANSWERS: readonly (readonly [string, string, Http1Response])[] = [
  ["a length", ok("Content-Length: 2\r\n", "hi and more"), { status: 200, contentType: "", body: Buffer.from("hi") }],
  ["no length", ok("content-TYPE:\t a/b \r\n", "hi"), { status: 200, contentType: "a/b", body: Buffer.from("hi") }],
  ["nothing", ok("Content-Length: 0\r\n"), { status: 200, contentType: "", body: Buffer.alloc(0) }],
  [
    "chunks",
    ok("Transfer-Encoding: Chunked\r\n", "2;x=y\r\nhi\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\nmore"),
    { status: 200, contentType: "", body: Buffer.from("hi0123456789") },
  ],
  ["no reason", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", { status: 404, contentType: "", body: Buffer.alloc(0) }],
  [
    "no content, whatever it says",
    "HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n",
    { status: 204, contentType: "", body: Buffer.alloc(0) },
  ],
  [
    "interim answers",
    `HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n${ok("Content-Length: 1\r\n", "x")}`,
    { status: 200, contentType: "", body: Buffer.from("x") },
  ],
  ["HTTP/1.0", "HTTP/1.0 500 Oops\r\n\r\n", { status: 500, contentType: "", body: Buffer.alloc(0) }],
  [
    "a body at the limit",
    ok("", "x".repeat(100)),
    { status: 200, contentType: "", body: Buffer.from("x".repeat(100)) },
  ],
];

for (const [name, text, expected] of ANSWERS) {
  test(`a response is read, in whatever pieces it comes: ${name}`, () => {
    assert.deepEqual(read(text), expected);
    fc.assert(fc.property(fc.array(fc.nat(20)), (pieces) => assert.deepEqual(read(text, pieces), expected)));
    assert.deepEqual(read(text, Array(text.length).fill(1)), expected);
  });
}

const WRONG: readonly (readonly [string, string, string, string])[] = [
  ["another protocol", "SSH-2.0-x\r\n", "net/unreachable", "did not answer in HTTP (status line)"],
  ["another protocol's first byte", "\x16", "net/unreachable", "did not answer in HTTP (status line)"],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", "net/unreachable", "did not answer in HTTP (status line)"],
  ["no status", "HTTP/1.1 \r\n\r\n", "net/unreachable", "did not answer in HTTP (status line)"],
  ["bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "net/unreachable", "broke off its answer (ECONNRESET)"],
  ["an upgrade", "HTTP/1.1 101 S\r\n\r\n", "net/unreachable", "did not answer in HTTP (upgrade)"],
  [
    "two lengths",
    ok("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
    "net/unreachable",
    "did not answer in HTTP (header)",
  ],
  [
    "a list of lengths",
    ok("Content-Length: 1, 1\r\n", "x"),
    "net/unreachable",
    "did not answer in HTTP (content length)",
  ],
  ["a negative length", ok("Content-Length: -1\r\n"), "net/unreachable", "did not answer in HTTP (content length)"],
  ["a signed length", ok("Content-Length: +1\r\n"), "net/unreachable", "did not answer in HTTP (content length)"],
  [
    "a length and chunks",
    ok("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    "net/unreachable",
    "did not answer in HTTP (transfer coding)",
  ],
  [
    "another coding",
    ok("Transfer-Encoding: gzip, chunked\r\n"),
    "net/unreachable",
    "did not answer in HTTP (transfer coding)",
  ],
  [
    "chunks in HTTP/1.0",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "net/unreachable",
    "did not answer in HTTP (transfer coding)",
  ],
  ["a space before the colon", ok("Content-Length : 1\r\n"), "net/unreachable", "did not answer in HTTP (header)"],
  ["a folded header", ok("A: b\r\n c\r\n"), "net/unreachable", "did not answer in HTTP (header)"],
  ["a control character", ok("A: \0\r\n"), "net/unreachable", "did not answer in HTTP (header)"],
  ["no colon", ok("A\r\n"), "net/unreachable", "did not answer in HTTP (header)"],
  [
    "a chunk without a size",
    ok("Transfer-Encoding: chunked\r\n", "x\r\n"),
    "net/unreachable",
    "did not answer in HTTP (chunk)",
  ],
  [
    "a chunk of another size",
    ok("Transfer-Encoding: chunked\r\n", "1\r\nhi\r\n"),
    "net/unreachable",
    "did not answer in HTTP (chunk)",
  ],
  [
    "an endless chunk size",
    ok("Transfer-Encoding: chunked\r\n", "0".repeat(300)),
    "net/unreachable",
    "did not answer in HTTP (chunk)",
  ],
  [
    "a wrong trailer",
    ok("Transfer-Encoding: chunked\r\n", "0\r\nA\r\n\r\n"),
    "net/unreachable",
    "did not answer in HTTP (header)",
  ],
  ["a long body", ok("", "x".repeat(101)), "net/too-large", "answered with over 100 bytes"],
  ["a long length", ok("Content-Length: 101\r\n"), "net/too-large", "answered with over 100 bytes"],
  [
    "long chunks",
    ok("Transfer-Encoding: chunked\r\n", `33\r\n${"x".repeat(51)}\r\n`.repeat(2)),
    "net/too-large",
    "answered with over 100 bytes",
  ],
  [
    "a long head",
    `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(200)}`,
    "net/too-large",
    "answered with over 1000 bytes of headers",
  ],
  [
    "many interim answers",
    "HTTP/1.1 100 C\r\n\r\n".repeat(100),
    "net/too-large",
    "answered with over 1000 bytes of headers",
  ],
  [
    "endless trailers",
    ok("Transfer-Encoding: chunked\r\n", `0\r\n${"A: b\r\n".repeat(300)}`),
    "net/too-large",
    "answered with over 1000 bytes of headers",
  ],
  ["nothing", "", "net/unreachable", "broke off its answer (ECONNRESET)"],
  ["half a head", "HTTP/1.1 200 OK\r\nA: b\r\n", "net/unreachable", "broke off its answer (ECONNRESET)"],
  ["half a body", ok("Content-Length: 9\r\n", "half"), "net/unreachable", "broke off its answer (ECONNRESET)"],
  [
    "half the chunks",
    ok("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"),
    "net/unreachable",
    "broke off its answer (ECONNRESET)",
  ],
];

for (const [name, text, code, message] of WRONG) {
  test(`a response is refused, in whatever pieces it comes: ${name}`, () => {
    assert.throws(() => read(text), { code, message });
    assert.throws(() => read(text, Array(text.length).fill(1)), { code, message });
  });
}

test("whatever comes, it is a response within the limits or an error with a code", () => {
  const fragment = fc.constantFrom(
    ...[
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 100 C\r\n",
      "Content-Length: ",
      "Transfer-Encoding: chunked",
      "\r\n",
      "\r\n\r\n",
      "5",
      "0",
      "A: b",
      ";",
    ],
  );
  const bytes = fc
    .array(fc.oneof(fragment, fc.string({ maxLength: 5 })), { maxLength: 20 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(9)), (text, pieces) => {
      const outcomes = [[], pieces].map((lengths) => {
        try {
          const { body } = read(text, lengths);
          assert.ok(body.length <= LIMITS.bodyBytes);
          return body.toString("hex");
        } catch (error) {
          assert.ok(error instanceof NightlatchError && error.code.startsWith("net/"), String(error));
          return error.message;
        }
      });
      assert.equal(outcomes[0], outcomes[1], "the pieces do not matter");
    }),
    { numRuns: 2000 },
  );
});
