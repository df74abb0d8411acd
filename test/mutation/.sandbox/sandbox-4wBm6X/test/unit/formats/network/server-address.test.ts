// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalAddress, isLatch, isSameAddress, serverOf } from "../../../../src/formats/network/server-address.ts";

const PORTS = { http: 80, https: 443 } as const;

interface Address {
  readonly scheme: keyof typeof PORTS;
  readonly host: string;
  readonly port: number;
  readonly path: readonly string[];
}

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const ipv4 = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 });
const ipv6 = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
const segment = fc.stringMatching(/^[A-Za-z0-9._~:@!$&'()*+,;=-]{1,12}$/).filter((text) => !/^\.\.?$/.test(text));

const address = (host: fc.Arbitrary<string>): fc.Arbitrary<Address> =>
  fc.record({
    scheme: fc.constantFrom("http" as const, "https" as const),
    host,
    port: fc.oneof(fc.constantFrom(80, 443, 7500), fc.integer({ min: 1, max: 65535 })),
    path: fc.array(segment, { maxLength: 3 }),
  });
const anyHost = fc.oneof(
  name,
  ipv4.map((bytes) => bytes.join(".")),
  ipv6.map((groups) => `[${groups.map((group) => group.toString(16)).join(":")}]`),
);

const plain = ({ scheme, host, port, path }: Address): string =>
  `${scheme}://${host}:${port}${path.map((part) => `/${part}`).join("")}`;

/** Ways of writing the same address, each taken or not. */
const spelling = fc.record({
  scheme: fc.constantFrom("lower", "upper", "mixed"),
  host: fc.constantFrom("lower", "upper", "dot"),
  omitPort: fc.boolean(),
  escapes: fc.boolean(),
  dots: fc.boolean(),
  slashes: fc.nat(3),
  user: fc.boolean(),
});
type Spelling = typeof spelling extends fc.Arbitrary<infer T> ? T : never;

function respell({ scheme, host, port, path }: Address, how: Spelling): string {
  const isName = /[a-z]$/.test(host) || /[a-z]/.test(host.replace(/^\[.*\]$/, ""));
  const head = { lower: scheme, upper: scheme.toUpperCase(), mixed: `H${scheme.slice(1)}` }[how.scheme] ?? scheme;
  const where = { lower: host, upper: host.toUpperCase(), dot: isName ? `${host}.` : host }[how.host] ?? host;
  const at = how.omitPort && port === PORTS[scheme] ? "" : `:${port}`;
  const parts = path.map((part) => (how.escapes ? part.replace(/[a-m~.]/g, escaped) : part));
  const dotted = how.dots ? ["x", "%2e%2E", ".", ...parts] : parts;
  const user = how.user ? "me:secret@" : "";
  return `${head}://${user}${where}${at}${dotted.map((part) => `/${part}`).join("")}${"/".repeat(how.slashes)}`;
}
const escaped = (text: string): string => `%${text.charCodeAt(0).toString(16)}`;

test("however an address is spelt, it is the same one", () => {
  fc.assert(
    fc.property(address(anyHost), spelling, (one, how) => {
      assert.ok(isSameAddress(plain(one), respell(one, how)), `${plain(one)} and ${respell(one, how)}`);
    }),
  );
});

test("another scheme, host, port or path is another one", () => {
  const change = fc.constantFrom<(one: Address) => Address>(
    (one) => ({ ...one, scheme: one.scheme === "http" ? "https" : "http" }),
    (one) => ({ ...one, port: (one.port % 65535) + 1 }),
    (one) => ({ ...one, host: `x${one.host}` }),
    (one) => ({ ...one, path: [...one.path, "more"] }),
    (one) => ({ ...one, path: ["a%2Fb", ...one.path] }),
  );
  fc.assert(
    fc.property(address(name), change, spelling, (one, other, how) => {
      assert.ok(!isSameAddress(plain(one), respell(other(one), how)));
    }),
  );
  assert.ok(!isSameAddress("http://h/Keys", "http://h/keys"));
  assert.ok(!isSameAddress("http://h/a/b", "http://h/a%2Fb"), "a slash that is escaped is none");
  assert.ok(!isSameAddress("http://h/a", "http://h//a"));
});

test("spellings of IP addresses, and what curl takes without a scheme", () => {
  const same: readonly (readonly [string, string])[] = [
    ["http://[::1]:7500", "http://[0:0:0:0:0:0:0:1]:7500/"],
    ["http://[2001:db8::a]", "HTTP://[2001:0DB8:0:0::000A]:80"],
    ["http://[::ffff:10.0.0.1]", "http://[::ffff:a00:1]"],
    ["http://127.0.0.1:1", "http://127.1:1"],
    ["http://10.0.0.1", "http://0x0a.0.0.1/"],
    ["http://keys:7500", "keys:7500/"],
    ["http://keys.example.org", "keys.example.org"],
    ["http://bücher.example", "http://xn--bcher-kva.example"],
  ];
  for (const [one, other] of same) assert.ok(isSameAddress(one, other), `${one} and ${other}`);
});

test("the canonical spelling is an address of the same server, and its own", () => {
  fc.assert(
    fc.property(address(anyHost), spelling, (one, how) => {
      const text = canonicalAddress(respell(one, how));
      assert.ok(text !== null && isSameAddress(text, plain(one)));
      assert.equal(canonicalAddress(text), text);
      assert.doesNotMatch(text, /secret/);
    }),
  );
});

test("no text makes them throw, and what is no address is not the same as anything", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.webUrl({ withFragments: true })), (text) => {
      isLatch(text);
      serverOf(text);
      assert.equal(isSameAddress(text, text), canonicalAddress(text) !== null);
    }),
  );
  for (const text of ["", "http://", "http:///x", "ftp://h", "http://h:99999", "http://[::1", "//h", "http://a b"]) {
    assert.equal(canonicalAddress(text), null, text);
  }
});

test("a latch is known by its path, and its server by what comes before", () => {
  const id = "ABCDEFGHIJKLMNOPQRSTUV";
  for (const text of [`http://h:1/latch/${id}`, `HTTP://H:1/latch/${id}/`, `http://h:1/%6Catch/${id}//`]) {
    assert.ok(isLatch(text), text);
    assert.equal(serverOf(text), "http://h:1");
  }
  assert.equal(serverOf(`https://h/keys/latch/${id}`), "https://h/keys");
  for (const text of [`http://h/latch/${id}X`, `http://h/latch/${id.slice(1)}`, `http://h/x${id}`]) {
    assert.ok(!isLatch(text), text);
  }
});
