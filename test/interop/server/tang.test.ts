/** The same bad requests to the real tangd and to ours, compared status by status. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type PublicJwk, parsePublicJwk, thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { parseJson } from "../../../src/formats/json/json.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import { allThumbprintsOf } from "../../support/keys.ts";
import { type Served, serve } from "../../support/serve.ts";
import {
  enrolAt,
  exchangeRaw,
  type RawAnswer,
  randomKey,
  randomPoint,
  rawRequest,
} from "../../support/server/client.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";

/** One of the two: where its protocol begins, and its keys. */
interface Side {
  readonly url: string;
  readonly base: string;
  readonly exchange: PublicJwk;
  readonly signing: PublicJwk;
}

interface Case {
  readonly what: string;
  readonly status: number;
  readonly request: (side: Side) => string;
}

const KIB = 1024;
const good = () => ({ alg: "ECMR", key_ops: ["deriveKey"], ...randomPoint() });
const rec = (side: Side, kid = thumbprintOf(side.exchange)) => `${side.base}/rec/${kid}`;
const post =
  (body: unknown, headers: readonly string[] = []) =>
  (side: Side) =>
    rawRequest("POST", rec(side), typeof body === "string" ? body : JSON.stringify(body), headers);
const get = (path: string) => (side: Side) => rawRequest("GET", side.base + path);
const offCurve = () => {
  const { x, y, ...rest } = good();
  return { ...rest, x: y, y: x };
};

/** A point one of whose coordinates begins with a zero byte, written without it. */
const trimmed = (member: "x" | "y") => {
  for (;;) {
    const point = good();
    const bytes = Buffer.from(point[member], "base64url");
    if (bytes[0] === 0) return { ...point, [member]: bytes.toString("base64url", 1) };
  }
};
const widened = (count: number, byte = 0) => {
  const point = good();
  const x = Buffer.concat([Buffer.alloc(count, byte), Buffer.from(point.x, "base64url")]);
  return { ...point, x: x.toString("base64url") };
};
const respelt = (spell: (x: string) => string) => {
  const point = good();
  return { ...point, x: spell(point.x) };
};
/** The last character holds two or four bits that are of no byte, and zero. */
const withStrayBit = (text: string) =>
  text.slice(0, -1) + String.fromCharCode((text.charCodeAt(text.length - 1) || 0) + 1);

const cases: readonly Case[] = [
  { what: "an advertisement", status: 200, request: get("/adv") },
  { what: "an advertisement with a slash behind", status: 200, request: get("/adv/") },
  { what: "an advertisement with slashes within", status: 200, request: get("//adv") },
  {
    what: "by an exchange key",
    status: 404,
    request: (s) => rawRequest("GET", `${s.base}/adv/${thumbprintOf(s.exchange)}`),
  },
  { what: "by an unknown key", status: 404, request: get("/adv/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") },
  { what: "by what is no thumbprint", status: 404, request: get("/adv/x") },
  { what: "an advertisement with a query", status: 404, request: get("/adv?thp=1") },
  { what: "below an advertisement", status: 404, request: get("/adv/a/b") },
  { what: "nothing", status: 404, request: get("/") },
  { what: "another path", status: 404, request: get("/keys") },
  {
    what: "recovery without a key",
    status: 404,
    request: (s) => rawRequest("POST", `${s.base}/rec`, JSON.stringify(good())),
  },
  {
    what: "recovery without a key, with a slash",
    status: 404,
    request: (s) => rawRequest("POST", `${s.base}/rec/`, JSON.stringify(good())),
  },
  {
    what: "recovery with a query",
    status: 404,
    request: (s) => rawRequest("POST", `${rec(s)}?x`, JSON.stringify(good())),
  },
  {
    what: "recovery by an unknown key",
    status: 404,
    request: (s) => rawRequest("POST", rec(s, "A".repeat(43)), JSON.stringify(good())),
  },
  { what: "HEAD of an advertisement", status: 405, request: (s) => rawRequest("HEAD", `${s.base}/adv`) },
  { what: "POST of an advertisement", status: 405, request: (s) => rawRequest("POST", `${s.base}/adv`, "{}") },
  { what: "PUT of an advertisement", status: 405, request: (s) => rawRequest("PUT", `${s.base}/adv`, "{}") },
  { what: "DELETE of an advertisement", status: 405, request: (s) => rawRequest("DELETE", `${s.base}/adv`) },
  { what: "GET of a recovery", status: 405, request: (s) => rawRequest("GET", rec(s)) },
  { what: "PUT of a recovery", status: 405, request: (s) => rawRequest("PUT", rec(s), JSON.stringify(good())) },
  { what: "another method on an unknown path", status: 404, request: (s) => rawRequest("DELETE", `${s.base}/keys`) },

  { what: "recovery", status: 200, request: post(good()) },
  { what: "recovery without alg and key_ops", status: 200, request: post(randomPoint()) },
  { what: "recovery with a private part", status: 200, request: post({ alg: "ECMR", ...randomKey() }) },
  {
    what: "recovery with more than one key_ops",
    status: 200,
    request: post({ ...good(), key_ops: ["verify", "deriveKey"] }),
  },
  { what: "use enc", status: 403, request: post({ ...randomPoint(), use: "enc" }) },
  {
    what: "recovery with members that nobody knows",
    status: 200,
    request: post({ ...good(), kid: "x", more: [1, { a: null }] }),
  },
  { what: "recovery as text/plain", status: 200, request: post(good(), ["Content-Type: text/plain"]) },
  { what: "recovery as nonsense", status: 200, request: post(good(), ["Content-Type: ;;;"]) },
  { what: "an empty body", status: 400, request: post("") },
  { what: "no body", status: 400, request: (s) => rawRequest("POST", rec(s)) },
  { what: "no JSON", status: 400, request: post("hello") },
  { what: "JSON cut short", status: 400, request: post(JSON.stringify(good()).slice(0, -1)) },
  { what: "JSON and more", status: 400, request: post(`${JSON.stringify(good())}x`) },
  { what: "an empty object", status: 400, request: post({}) },
  { what: "a string", status: 400, request: post('"x"') },
  { what: "a number", status: 400, request: post("1") },
  { what: "null", status: 400, request: post("null") },
  { what: "an empty list", status: 400, request: post([]) },
  { what: "a list", status: 400, request: post([1]) },
  { what: "a list of keys", status: 400, request: post([good()]) },
  { what: "an RSA key", status: 400, request: post({ kty: "RSA", n: "AQAB", e: "AQAB" }) },
  { what: "an octet key", status: 400, request: post({ kty: "oct", k: "AAAA" }) },
  { what: "another algorithm", status: 400, request: post({ ...good(), alg: "ECDH-ES" }) },
  { what: "an algorithm that is no text", status: 400, request: post({ ...good(), alg: 1 }) },
  { what: "another curve", status: 400, request: post({ ...randomPoint("P-384"), alg: "ECMR" }) },
  { what: "a greater curve", status: 400, request: post({ ...randomPoint("P-521"), alg: "ECMR" }) },
  { what: "an unknown curve", status: 400, request: post({ ...good(), crv: "P-1" }) },
  { what: "a curve that is no text", status: 400, request: post({ ...good(), crv: 256 }) },
  { what: "no curve", status: 400, request: post({ ...good(), crv: undefined }) },
  { what: "a point off the curve", status: 400, request: post(offCurve()) },
  { what: "a point of zeros", status: 400, request: post({ ...good(), x: "A".repeat(43), y: "A".repeat(43) }) },
  { what: "x without its leading zero", status: 200, request: post(trimmed("x")) },
  { what: "y without its leading zero", status: 200, request: post(trimmed("y")) },
  { what: "x with a zero before it", status: 200, request: post(widened(1)) },
  { what: "x with many zeros before it", status: 200, request: post(widened(2000)) },
  { what: "x with more than zeros before it", status: 400, request: post(widened(1, 1)) },
  { what: "an empty coordinate", status: 400, request: post({ ...good(), x: "" }) },
  { what: "a coordinate with padding", status: 400, request: post(respelt((x) => `${x}=`)) },
  { what: "a coordinate with stray bits", status: 400, request: post(respelt(withStrayBit)) },
  { what: "a coordinate with a character too many", status: 400, request: post(respelt((x) => `${x}A`)) },
  { what: "a coordinate in the other alphabet", status: 400, request: post(respelt((x) => `+/${x.slice(2)}`)) },
  { what: "a coordinate with a blank", status: 400, request: post(respelt((x) => `${x.slice(0, 9)} ${x.slice(9)}`)) },
  {
    what: "a short coordinate with stray bits",
    status: 400,
    request: post((({ x, ...point }) => ({ ...point, x: withStrayBit(x) }))(trimmed("x"))),
  },
  { what: "a point without x", status: 400, request: post({ ...good(), x: undefined }) },
  { what: "a point without y", status: 400, request: post({ ...good(), y: undefined }) },
  { what: "a coordinate that is no base64url", status: 400, request: post({ ...good(), x: "!!!" }) },
  { what: "a coordinate that is no text", status: 400, request: post({ ...good(), y: 5 }) },
  { what: "key_ops that forbid", status: 403, request: post({ ...good(), key_ops: ["verify"] }) },
  { what: "key_ops that are empty", status: 403, request: post({ ...good(), key_ops: [] }) },
  { what: "use sig", status: 403, request: post({ ...randomPoint(), use: "sig" }) },
  {
    what: "recovery by a signing key",
    status: 403,
    request: (s) => rawRequest("POST", rec(s, thumbprintOf(s.signing)), JSON.stringify(good())),
  },
  { what: "a body of 64 KiB", status: 413, request: post(" ".repeat(64 * KIB)) },
  {
    what: "a body of 1 MiB",
    status: 413,
    request: post(" ".repeat(1024 * KIB)),
  },
  {
    what: "a body in pieces that is greater",
    status: 413,
    request: (s) =>
      `${rawRequest("POST", rec(s), null, ["Transfer-Encoding: chunked"])}${"1000\r\n".concat("x".repeat(4096), "\r\n").repeat(17)}0\r\n\r\n`,
  },
  { what: "a URL of 4 KiB", status: 414, request: get(`/${"a".repeat(4 * KIB)}`) },
  { what: "a URL of 12 KiB", status: 414, request: get(`/${"a".repeat(12 * KIB)}`) },
  { what: "a URL of 40 KiB", status: 414, request: get(`/${"a".repeat(40 * KIB)}`) },
];

describe("tang's statuses", { skip: noTangd }, () => {
  let tangd: Tangd;
  let server: Served;
  let theirs: Side;
  let ours: Side;
  before(async () => {
    tangd = await startTangd({ exchangeCurve: "P-256" });
    const keys = readdirSync(tangd.keysFolder).map((name) =>
      parsePublicJwk(parseJson(readFileSync(join(tangd.keysFolder, name)), name, { lengthBytes: 4096 })),
    );
    const [exchange, signing] = ["ECMR", "ES512"].map((alg) => keys.find((key) => key.alg === alg));
    assert.ok(exchange !== undefined && signing !== undefined);
    theirs = { url: tangd.url, base: "", exchange, signing };
    server = await serve();
    const latch = await enrolAt(server, "nas");
    ours = { url: server.url, base: new URL(latch.url).pathname, exchange: latch.exchange, signing: latch.signing };
  });
  after(async () => {
    await tangd?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const both = async (request: Case["request"]): Promise<readonly [RawAnswer, RawAnswer]> =>
    Promise.all([exchangeRaw(theirs.url, request(theirs)), exchangeRaw(ours.url, request(ours))]);

  for (const { what, status, request } of cases) {
    test(`${what}: ${status}`, async () => {
      const [tang, nightlatch] = await both(request);
      assert.deepEqual({ tang: tang.status, nightlatch: nightlatch.status }, { tang: status, nightlatch: status });
      if (status !== 200) assert.equal(nightlatch.body, "");
    });
  }

  test("every thumbprint of a key names it, and the answers have tang's types and members", async () => {
    for (const index of allThumbprintsOf(ours.signing).keys()) {
      const path = (side: Side) => `/adv/${allThumbprintsOf(side.signing)[index]}`;
      for (const answer of await both((side) => rawRequest("GET", side.base + path(side)))) {
        assert.equal(answer.status, 200);
        assert.match(answer.head, /content-type: application\/jose\+json/i);
        parseAdvertisement(parseJson(answer.body, "the advertisement", { lengthBytes: 65_536 }));
        const { payload: _payload, signatures, ...others } = JSON.parse(answer.body) as Record<string, unknown>;
        assert.deepEqual(others, {}, "general");
        assert.equal((signatures as unknown[]).length, 2, "the named key signs once more");
      }
      const kid = (side: Side) => allThumbprintsOf(side.exchange)[index];
      const [tang, nightlatch] = await both((side) => rawRequest("POST", rec(side, kid(side)), JSON.stringify(good())));
      assert.match(nightlatch.head, /content-type: application\/jwk\+json/i);
      assert.match(tang.head, /content-type: application\/jwk\+json/i);
      const [one, other] = [tang, nightlatch].map((answer) => JSON.parse(answer.body) as Record<string, unknown>);
      assert.deepEqual(Object.keys(other ?? {}), Object.keys(one ?? {}));
      assert.deepEqual({ ...other, x: "", y: "" }, { ...one, x: "", y: "" });
    }
  });
});
