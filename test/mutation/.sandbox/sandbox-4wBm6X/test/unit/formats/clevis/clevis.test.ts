// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { parseClevisPin, parseClevisToken } from "../../../../src/formats/clevis/clevis.ts";
import { parseSssPin } from "../../../../src/formats/clevis/sss.ts";
import { parseTangPin, type TangPin } from "../../../../src/formats/clevis/tang.ts";
import { encryptJwe, type FlattenedJwe, parseCompactJwe, parseJweHeader } from "../../../../src/formats/jose/jwe.ts";
import { thumbprintOf } from "../../../../src/formats/jose/jwk.ts";
import type { Json, JsonObject } from "../../../../src/formats/json/json.ts";
import { parseAdvertisement } from "../../../../src/formats/tang/tang.ts";
import { sealToAdvertisement } from "../../../../src/pins/tang/tang.ts";
import { clevisToken } from "../../../support/clevis-token.ts";
import { clevisVectors, playTangs } from "../../../vectors/tangs.ts";

const [CASE] = clevisVectors.cases;
const [SERVER] = clevisVectors.servers;
const jwe = parseCompactJwe(CASE?.jwe ?? assert.fail());
const server = SERVER ?? assert.fail();
const clone = (json: Json) => JSON.parse(JSON.stringify(json));
const readTang = (from: FlattenedJwe): TangPin => parseTangPin(parseClevisPin(from));

test("a token is read, and written as clevis wrote it", () => {
  const { token } = clevisVectors.luks2;
  const parsed = parseClevisToken(token) ?? assert.fail();
  assert.deepEqual(parsed.keyslots, [1]);
  assert.deepEqual(clone(clevisToken(parsed.jwe, 1)), clone(token));
});

test("a token of another type does not apply", () => {
  for (const token of [null, 7, [], {}, { type: "systemd-tpm2" }, { type: 7 }, { type: "Clevis" }]) {
    assert.equal(parseClevisToken(token as Json), null);
  }
});

const keyslots = (list: unknown) => ({ ...clone(clevisVectors.luks2.token), keyslots: list });
const WRONG_TOKENS: readonly (readonly [string, unknown, RegExp])[] = [
  ["no list", keyslots("1"), /not a list of at most 32/],
  ["too many keyslots", keyslots(Array(33).fill("1")), /not a list of at most 32/],
  ["a keyslot as a number", keyslots([1]), /not a keyslot/],
  ["a keyslot that does not exist", keyslots(["32"]), /not a keyslot/],
  ["a keyslot with a zero before it", keyslots(["01"]), /not a keyslot/],
  ["a negative keyslot", keyslots(["-1"]), /not a keyslot/],
  ["a keyslot twice", keyslots(["1", "1"]), /names a keyslot twice/],
];

for (const [name, token, message] of WRONG_TOKENS) {
  test(`a token is refused: ${name}`, () => {
    assert.throws(() => parseClevisToken(token as Json), { code: "clevis/malformed", message });
  });
}

test("a token without a JWE is refused; one without keyslots is none of a keyslot", () => {
  assert.throws(() => parseClevisToken({ type: "clevis", keyslots: ["0"] }), { code: "jwe/malformed" });
  assert.deepEqual(parseClevisToken(keyslots([]))?.keyslots, []);
});

test("our header has clevis's members, in its order, at every level", () => {
  const { power } = playTangs();
  const ours = sealToAdvertisement(power, server.url, parseAdvertisement(server.advertisement), randomBytes(8));
  const shape = (json: Json): unknown =>
    json === null || typeof json !== "object"
      ? typeof json
      : Array.isArray(json)
        ? json.map(shape)
        : Object.entries(json).map(([name, value]) => [name, shape(value)]);
  assert.deepEqual(shape(parseJweHeader(ours)), shape(parseJweHeader(jwe)));
  const theirs = readTang(jwe);
  const read = readTang(ours);
  assert.deepEqual({ ...read, ephemeral: null }, { ...theirs, ephemeral: null });
  assert.deepEqual(clone(parseJweHeader(ours)["clevis"] ?? null), clone(parseJweHeader(jwe)["clevis"] ?? null));
  assert.notEqual(read.ephemeral.x, theirs.ephemeral.x);
});

test("a tang binding names its server, its key, and the keys to trust later", () => {
  const pin = readTang(jwe);
  const advertisement = parseAdvertisement(server.advertisement);
  assert.equal(pin.url, server.url);
  assert.deepEqual(pin.exchangeKey, advertisement.exchangeKeys[0]);
  assert.equal(pin.kid, thumbprintOf(pin.exchangeKey));
  assert.deepEqual(pin.signingKeys, advertisement.signingKeys);
});

const header = clone(parseJweHeader(jwe));
const seal = (changed: JsonObject) => encryptJwe(changed, randomBytes(32), randomBytes(12), Buffer.of());
const withTang = (tang: JsonObject) => ({
  ...header,
  clevis: { pin: "tang", tang: { ...header.clevis.tang, ...tang } },
});
const p256 = clone(parseJweHeader(parseCompactJwe(clevisVectors.cases[1]?.jwe ?? "")));
const prime = Buffer.alloc(32, 0xff).toString("base64url");
const sss = (configuration: JsonObject) => ({
  alg: "dir",
  enc: "A256GCM",
  clevis: { pin: "sss", sss: { t: 1, p: prime, jwe: [CASE?.jwe ?? ""], ...configuration } },
});

const read = (from: FlattenedJwe) => {
  const pin = parseClevisPin(from);
  return pin.name === "sss" ? parseSssPin(pin) : parseTangPin(pin);
};

const WRONG_PINS: readonly (readonly [string, JsonObject, string, RegExp])[] = [
  ["no clevis", { enc: "A256GCM" }, "clevis/malformed", /no member clevis/],
  ["no pin", { ...header, clevis: {} }, "clevis/malformed", /names no pin/],
  ["a pin's name that is none", { ...header, clevis: { pin: "../tang" } }, "clevis/malformed", /names no pin/],
  ["no configuration", { ...header, clevis: { pin: "tang" } }, "clevis/malformed", /no configuration of its pin tang/],
  ["another key agreement", { ...header, alg: "ECDH-ES+A256KW" }, "jwe/unsupported", /not given by ECDH-ES/],
  ["no kid", { ...header, kid: 5 }, "clevis/malformed", /names no key of the server/],
  ["no such kid", { ...header, kid: "A".repeat(43) }, "clevis/malformed", /no exchange key of the name/],
  ["an epk on another curve", { ...header, epk: p256.epk }, "clevis/malformed", /of the name and the curve/],
  ["an epk off the curve", { ...header, epk: { ...header.epk, y: header.epk.x } }, "jwk/off-curve", /ephemeral key/],
  ["no epk", { ...header, epk: null }, "jwk/malformed", /ephemeral key is not a JSON object/],
  ["no keys", withTang({ adv: {} }), "tang/malformed", /not a list of at most 32 keys/],
  ["too many keys", withTang({ adv: { keys: Array(33).fill({}) } }), "tang/malformed", /not a list of at most 32 keys/],
  ["no address", withTang({ url: 1 }), "clevis/malformed", /no usable address/],
  ["an address with a line end", withTang({ url: "http://a\r\nb" }), "clevis/malformed", /no usable address/],
  [
    "an address with a user",
    withTang({ url: "http://user@a.example" }),
    "clevis/malformed",
    /^the address of the binding's server holds credentials, and is not asked$/,
  ],
  [
    "an address with a password, no scheme",
    withTang({ url: ":SWORDFISH@a.example" }),
    "clevis/malformed",
    /^the address of the binding's server holds credentials, and is not asked$/,
  ],
  ["an endless host", withTang({ url: `http://${"a.".repeat(127)}a` }), "clevis/malformed", /a name that no host has/],
  ["an address of a file", withTang({ url: "file:///etc/shadow" }), "clevis/malformed", /not at an http address/],
  ["apu that is no text", { ...header, apu: 1 }, "clevis/malformed", /apu is not usable/],
  ["no prime", sss({ p: null }), "clevis/malformed", /have no prime/],
  ["an even prime", sss({ p: "_-4" }), "clevis/malformed", /no usable prime/],
  ["a prime with zeros before it", sss({ p: "AAM" }), "clevis/malformed", /no usable prime/],
  ["a huge prime", sss({ p: "_".repeat(4 * 22) }), "clevis/malformed", /no usable prime/],
  ["threshold 0", sss({ t: 0 }), "clevis/malformed", /threshold does not fit/],
  ["threshold above the shares", sss({ t: 2 }), "clevis/malformed", /threshold does not fit/],
  ["half a threshold", sss({ t: 0.5 }), "clevis/malformed", /threshold does not fit/],
  ["too many shares", sss({ jwe: Array(65).fill(CASE?.jwe ?? "") }), "clevis/malformed", /at most 64/],
  ["a share that is no text", sss({ jwe: [{}] }), "clevis/malformed", /not a JWE/],
  [
    "a share that is no JWE",
    sss({ jwe: ["a.b"] }),
    "jwe/malformed",
    /a share of the binding does not consist of five parts/,
  ],
  ["shares under a key agreement", { ...sss({}), alg: "ECDH-ES" }, "jwe/unsupported", /not given by dir/],
];

for (const [name, changed, code, message] of WRONG_PINS) {
  test(`a binding is refused: ${name}`, () => {
    assert.throws(() => read(seal(changed)), { code, message });
  });
}

test("what does not matter does not lock the volume: foreign and broken keys beside the right one, unknown members", () => {
  const keys = [
    { kty: "RSA", n: "AA", e: "AQAB" },
    {},
    { ...header.epk, y: header.epk.x },
    ...header.clevis.tang.adv.keys,
  ];
  const pin = readTang(seal({ ...withTang({ adv: { keys, more: 1 }, more: 1 }), future: 1 }));
  assert.equal(pin.signingKeys.length, 1);
});

test("an address without a scheme is an http one, as curl takes it", () => {
  const urlOf = (url: string) => readTang(seal(withTang({ url }))).url;
  assert.equal(urlOf("tang.example:8080"), "http://tang.example:8080");
  assert.equal(urlOf("[2001:db8::1]"), "http://[2001:db8::1]");
  assert.equal(urlOf("HTTPS://tang.example/"), "HTTPS://tang.example/");
});

test("other pins are told by their name", () => {
  const { name, configuration } = parseClevisPin(seal({ ...header, clevis: { pin: "tpm2", tpm2: { hash: "x" } } }));
  assert.equal(name, "tpm2");
  assert.deepEqual(clone(configuration ?? null), { hash: "x" });
});

test("whatever a header holds, it is a pin or an error with a code", () => {
  const paths = fc.constantFrom("alg", "kid", "epk", "enc", "clevis");
  fc.assert(
    fc.property(paths, fc.jsonValue(), fc.jsonValue(), fc.boolean(), (path, value, inner, tang) => {
      const changed = tang
        ? withTang({ adv: value as Json, url: inner as Json })
        : sss({ p: value as Json, jwe: inner as Json });
      for (const candidate of [{ ...header, [path]: value }, changed]) {
        try {
          read(seal(candidate as JsonObject));
        } catch (error) {
          assert.ok(error instanceof NightlatchError && /^(clevis|jwe|jwk|tang)\//.test(error.code), String(error));
        }
      }
    }),
    { numRuns: 300 },
  );
});
