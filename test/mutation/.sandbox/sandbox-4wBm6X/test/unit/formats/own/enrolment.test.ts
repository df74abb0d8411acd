// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import { type EcPublicJwk, exportPublicJwk } from "../../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import {
  buildEnrolAnswer,
  buildEnrolRequest,
  buildLatchRequest,
  identityThumbprint,
  parseEnrolAnswer,
  parseEnrolRequest,
  parseLatchRequest,
  provesInvite,
} from "../../../../src/formats/own/enrolment.ts";
import type { Invite } from "../../../../src/formats/own/invite.ts";
import { buildAdvertisement } from "../../../../src/formats/tang/tang.ts";

const machine = generateKeyPairSync("ed25519");
const server = generateKeyPairSync("ed25519");
const signing = generateKeyPairSync("ec", { namedCurve: "P-256" });
const exchange = generateKeyPairSync("ec", { namedCurve: "P-256" });
const advertisement = buildAdvertisement(
  { signing: [exportPublicJwk(signing.publicKey)], exchange: [exportPublicJwk(exchange.publicKey) as EcPublicJwk] },
  [signing.privateKey],
);
const invite: Invite = {
  url: "https://keys.example:8443/nl",
  id: randomBytes(16).toString("base64url"),
  key: Secret.take(randomBytes(32)),
  thumbprint: identityThumbprint(server.privateKey),
};
const wish = { nonce: randomBytes(16), volume: "1b4e28ba-2fa1-11d2-883f-0016d3cca427" };

test("the two messages of an enrolment are built, verified and believed", () => {
  const body = buildEnrolRequest(machine.privateKey, invite, wish);
  const request = parseEnrolRequest(body);
  assert.equal(request.invite, invite.id);
  assert.equal(request.machine, identityThumbprint(machine.publicKey));
  assert.equal(request.nonce, wish.nonce.toString("base64url"));
  assert.ok(provesInvite(request, invite.key.reveal()));
  assert.ok(!provesInvite(request, randomBytes(32)));

  const latch = randomBytes(16).toString("base64url");
  const reply = buildEnrolAnswer(server.privateKey, body, {
    machine: request.machine,
    name: "nas",
    latch,
    advertisement,
  });
  const expected = { request: body, machine: request.machine, serverThumbprint: invite.thumbprint };
  const answer = parseEnrolAnswer(reply, expected);
  assert.equal(answer.name, "nas");
  assert.equal(answer.latch, latch);
  assert.equal(answer.advertisement.exchangeKeys.length, 1);
  assert.throws(() => parseEnrolAnswer(reply, { ...expected, serverThumbprint: request.machine }), {
    code: "enrolment/untrusted",
  });
  assert.throws(() => parseEnrolAnswer(reply, { ...expected, request: Buffer.from("{}") }), {
    code: "enrolment/untrusted",
  });
});

test("a latch request is verified by the identity it carries", () => {
  const request = parseLatchRequest(buildLatchRequest(machine.privateKey, wish));
  assert.equal(request.machine, identityThumbprint(machine.publicKey));
  assert.equal(request.volume, wish.volume);
});

/** A message whose parts were changed and that was signed again by the same key. */
function resealed(
  body: Buffer,
  key: KeyObject,
  change: (parts: { header: JsonObject; payload: JsonObject }) => object,
): Buffer {
  const jws = JSON.parse(body.toString());
  const read = (text: string) => JSON.parse(Buffer.from(text, "base64url").toString());
  const { header, payload } = {
    header: read(jws.protected),
    payload: read(jws.payload),
    ...change({ header: read(jws.protected), payload: read(jws.payload) }),
  };
  const protectedText = Buffer.from(JSON.stringify(header)).toString("base64url");
  const payloadText = Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)).toString(
    "base64url",
  );
  const signature = sign(null, Buffer.from(`${protectedText}.${payloadText}`), key).toString("base64url");
  return Buffer.from(JSON.stringify({ payload: payloadText, protected: protectedText, signature }));
}

const good = buildEnrolRequest(machine.privateKey, invite, wish);
const otherKey = { kty: "OKP", crv: "Ed25519", x: exportPublicJwk(server.publicKey).x };
const ecKey = exportPublicJwk(signing.publicKey);
type Parts = Parameters<Parameters<typeof resealed>[2]>[0];
const CHANGES: readonly (readonly [string, (parts: Parts) => object, RegExp])[] = [
  [
    "another type",
    ({ header }) => ({ header: { ...header, typ: "nightlatch-latch" } }),
    /is not of type nightlatch-enroll$/,
  ],
  [
    "a further header",
    ({ header }) => ({ header: { ...header, kid: "x" } }),
    /must have exactly the members alg, jwk, typ$/,
  ],
  ["another's key", ({ header }) => ({ header: { ...header, jwk: otherKey } }), /the signature of .* is wrong$/],
  ["an EC key", ({ header }) => ({ header: { ...header, jwk: ecKey } }), /must have exactly the members crv, kty, x$/],
  ["alg none", ({ header }) => ({ header: { ...header, alg: "none" } }), /signed with none of/],
  ["another algorithm", ({ header }) => ({ header: { ...header, alg: "ES256" } }), /is not of type/],
  [
    "a private key",
    ({ header }) => ({ header: { ...header, jwk: { ...otherKey, d: "AA" } } }),
    /exactly the members crv, kty, x$/,
  ],
  [
    "a further member",
    ({ payload }) => ({ payload: { ...payload, x: 1 } }),
    /exactly the members invite, mac, nonce, volume$/,
  ],
  ["a name twice", () => ({ payload: '{"invite":"","invite":""}' }), /names "invite" twice$/],
  ["a payload that is a list", () => ({ payload: [] }), /payload of the enrolment request is not an object$/],
  ["a short nonce", ({ payload }) => ({ payload: { ...payload, nonce: "AA" } }), /nonce is not base64url of 16 bytes$/],
  ["a short mac", ({ payload }) => ({ payload: { ...payload, mac: "AA" } }), /mac is not base64url of 32 bytes$/],
  ["a volume that is a path", ({ payload }) => ({ payload: { ...payload, volume: "a/b" } }), /names no usable volume$/],
  ["a volume that is a number", ({ payload }) => ({ payload: { ...payload, volume: 1 } }), /names no usable volume$/],
];

for (const [name, change, message] of CHANGES) {
  test(`a request is refused: ${name}`, () => {
    const body = resealed(good, machine.privateKey, change);
    assert.throws(() => parseEnrolRequest(body), { code: "enrolment/malformed", message });
  });
}

test("a request of one kind is not taken for the other, nor an answer for a request", () => {
  const latch = buildLatchRequest(machine.privateKey, wish);
  const malformed = { code: "enrolment/malformed" };
  assert.throws(() => parseEnrolRequest(latch), malformed);
  assert.throws(() => parseLatchRequest(good), malformed);
  const answer = { machine: identityThumbprint(machine.publicKey), name: "nas", latch: "A".repeat(22), advertisement };
  assert.throws(() => parseLatchRequest(buildEnrolAnswer(machine.privateKey, good, answer)), malformed);
});

test("a proof is bound to the machine: another machine cannot use a mac that it saw", () => {
  const thief = generateKeyPairSync("ed25519");
  const { mac } = JSON.parse(Buffer.from(JSON.parse(good.toString()).payload, "base64url").toString());
  const forged = resealed(buildEnrolRequest(thief.privateKey, invite, wish), thief.privateKey, ({ payload }) => ({
    payload: { ...payload, mac },
  }));
  assert.ok(!provesInvite(parseEnrolRequest(forged), invite.key.reveal()));
});

test("an answer is refused whose advertisement was not signed by its own keys, or that names the machine badly", () => {
  const answer = { machine: identityThumbprint(machine.publicKey), name: "nas", latch: "A".repeat(22), advertisement };
  const expected = { request: good, machine: answer.machine, serverThumbprint: invite.thumbprint };
  const parse = (changed: Partial<typeof answer>) =>
    parseEnrolAnswer(buildEnrolAnswer(server.privateKey, good, { ...answer, ...changed }), expected);
  parse({});
  const forged = buildAdvertisement({ signing: [ecKey], exchange: [ecKey as EcPublicJwk] }, [exchange.privateKey]);
  assert.throws(() => parse({ advertisement: forged }), {
    code: "enrolment/malformed",
    message: /^the server's answer: the advertisement is not signed by its key [\w-]{43}$/,
  });
  assert.throws(() => parse({ name: "../x" }), { code: "enrolment/malformed", message: /no usable name$/ });
  assert.throws(() => parse({ latch: "AA" }), { code: "enrolment/malformed", message: /latch is not base64url/ });
  assert.throws(() => parse({ machine: invite.thumbprint }), {
    code: "enrolment/untrusted",
    message: /another machine$/,
  });
});

test("whatever comes in, it is a message or an error with a code", () => {
  const mutated = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
    const body = Buffer.from(good);
    body[at] = (body[at] ?? 0) ^ change;
    return body;
  });
  const anything = fc.oneof(
    mutated,
    fc.json().map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    fc.jsonValue().map((payload) => resealed(good, machine.privateKey, () => ({ payload }))),
    fc.jsonValue().map((header) => resealed(good, machine.privateKey, () => ({ header }))),
  );
  const refuses = (parse: () => unknown) =>
    assert.throws(parse, (error: unknown) => error instanceof NightlatchError && error.code === "enrolment/malformed");
  fc.assert(
    fc.property(anything, (body) => {
      refuses(() => parseEnrolRequest(body));
      refuses(() => parseLatchRequest(body));
      refuses(() => parseEnrolAnswer(body, { request: good, machine: "", serverThumbprint: "" }));
    }),
    { numRuns: 500 },
  );
});
