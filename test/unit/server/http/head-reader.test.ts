import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseHttp1RequestHead } from "../../../../src/formats/network/http1-request.ts";
import { HeadReader } from "../../../../src/server/http/head-reader.ts";

const HEADER_BYTES = 16_384;

const HEAD = "GET /a HTTP/1.1\r\nHost: x\r\n";

/** What becomes of bytes that come in pieces, and how many were taken until then. */
function read(bytes: Buffer, pieceBytes: number) {
  const reader = new HeadReader();
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const found = reader.push(bytes.subarray(at, at + pieceBytes));
    assert.ok(reader.capacityBytes <= 2 * (HEADER_BYTES + pieceBytes), `${reader.capacityBytes} bytes are kept`);
    if (found !== null) return { found, takenBytes: at + pieceBytes };
  }
  return { found: null, takenBytes: bytes.length };
}

test("what never becomes a head is refused before it has taken more than a head may", () => {
  const cases: readonly (readonly [string, string, number])[] = [
    ["empty lines", "\r\n".repeat(100_000), 400],
    ["a long line", `GET /${"a".repeat(100_000)}`, 414],
    ["a long line that ends", `GET /${"a".repeat(5000)} HTTP/1.1\r\nX: ${"a".repeat(100_000)}`, 414],
    ["a long header", `${HEAD}X: ${"a".repeat(100_000)}`, 431],
    ["many headers", `${HEAD}${"X: a\r\n".repeat(20_000)}`, 431],
    ["a head that ends too late", `${HEAD}X: ${"a".repeat(HEADER_BYTES)}\r\n\r\n`, 431],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["a blank", ` ${HEAD}`, 400],
    ["an old line end", "\nGET / HTTP/1.1", 400],
  ];
  for (const [what, text, status] of cases) {
    for (const pieceBytes of [1, 100, 4096]) {
      const { found, takenBytes } = read(Buffer.from(text, "latin1"), pieceBytes);
      assert.equal(found, status, `${what} in pieces of ${pieceBytes}`);
      assert.ok(takenBytes <= HEADER_BYTES + pieceBytes, what);
    }
  }
});

test("a head is found in pieces of any length, behind an empty line or two, and what follows it is told", () => {
  const bytes = Buffer.from(`\r\n\r\n${HEAD}\r\nrest`);
  for (let pieceBytes = 1; pieceBytes <= bytes.length; pieceBytes++) {
    const { found, takenBytes } = read(bytes, pieceBytes);
    assert.ok(typeof found === "object" && found !== null);
    assert.deepEqual([found.head.method, found.head.target], ["GET", "/a"]);
    assert.equal(`${found.rest}${bytes.subarray(takenBytes)}`, "rest");
  }
});

test("a head is read as it is alone, whichever was read before it", () => {
  const line = fc.constantFrom(
    "Host: x",
    "Host: y",
    "Content-Length: 44",
    "Content-Length: 45",
    "Connection: close",
    "",
  );
  const text = fc
    .tuple(fc.constantFrom("POST /alive", "POST /alivf", "GET /alive", ""), fc.array(line, { maxLength: 3 }))
    .map(([start, lines]) => `${[`${start} HTTP/1.1`, ...lines].join("\r\n")}\r\n\r\n`);
  const input = fc.tuple(text, fc.constantFrom("", "body", "\r\n\r\n", "POST /alive"), fc.constantFrom(1, 7, 4096));
  fc.assert(
    fc.property(fc.array(input, { minLength: 1, maxLength: 8 }), (inputs) => {
      for (const [head, rest, pieceBytes] of inputs) {
        const bytes = Buffer.from(head + rest, "latin1");
        const { found, takenBytes } = read(bytes, pieceBytes);
        const end = head.indexOf("\r\n\r\n");
        const alone = parseHttp1RequestHead(head.slice(0, end));
        if (typeof found === "number" || found === null) assert.equal(found, alone);
        else {
          assert.deepEqual(found.head, alone);
          assert.equal(`${found.rest}${bytes.subarray(takenBytes)}`, head.slice(end + 4) + rest);
        }
      }
    }),
  );
});
