// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { CURVES } from "../../../../src/formats/jose/curve.ts";
import {
  type EcPublicJwk,
  exportPublicJwk,
  type PublicJwk,
  pointOf,
  thumbprintOf,
} from "../../../../src/formats/jose/jwk.ts";
import { formatJws, signJws } from "../../../../src/formats/jose/jws.ts";
import type { Json, JsonObject } from "../../../../src/formats/json/json.ts";
import {
  buildAdvertisement,
  formatRecovery,
  isTrusted,
  parseAdvertisement,
  parseRecoveryReply,
  parseRecoveryRequest,
  requireTrust,
} from "../../../../src/formats/tang/tang.ts";
import { allThumbprintsOf } from "../../../support/keys.ts";
import { clevisVectors } from "../../../vectors/tangs.ts";

const pair = (namedCurve: string) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  return { privateKey, jwk: exportPublicJwk(publicKey) as EcPublicJwk };
};
const signing = pair("P-256");
const oldSigning = pair("P-521");
const exchange = pair("P-256");
const clone = (json: Json) => JSON.parse(JSON.stringify(json));

/** An advertisement of exactly these keys, whatever they are. */
function sign(payload: unknown, keys: readonly KeyObject[], header: JsonObject = { cty: "jwk-set+json" }): JsonObject {
  const [first, ...others] = keys.map((key) => ({ key, header }));
  return clone(formatJws(signJws(Buffer.from(JSON.stringify(payload)), [first ?? assert.fail(), ...others])));
}

const member = (jwk: PublicJwk, operation: string) => ({ ...jwk, key_ops: [operation] });
const both = { keys: [member(signing.jwk, "verify"), member(exchange.jwk, "deriveKey")] };

test("what is built is what tang writes, and parses", () => {
  const built = buildAdvertisement({ signing: [signing.jwk], exchange: [exchange.jwk] }, [signing.privateKey]);
  assert.deepEqual(Object.keys(built), ["payload", "protected", "signature"]);
  const { kty, crv, x, y } = exchange.jwk;
  const payload = JSON.parse(Buffer.from(String(built["payload"]), "base64url").toString());
  assert.deepEqual(payload.keys[1], { kty, crv, x, y, alg: "ECMR", key_ops: ["deriveKey"] });
  assert.equal(payload.keys[0].alg, "ES256");
  assert.deepEqual(payload.keys[0].key_ops, ["verify"]);
  assert.equal(Buffer.from(String(built["protected"]), "base64url").toString(), '{"alg":"ES256","cty":"jwk-set+json"}');
  const parsed = parseAdvertisement(clone(built));
  assert.deepEqual(clone([...parsed.keys]), payload.keys);
  assert.equal(thumbprintOf(parsed.signingKeys[0]), thumbprintOf(signing.jwk));
  assert.equal(thumbprintOf(parsed.exchangeKeys[0]), thumbprintOf(exchange.jwk));
});

test("real tangs' advertisements parse, before and after a rotation", () => {
  for (const { advertisement } of clevisVectors.servers) parseAdvertisement(advertisement);
  const [server] = clevisVectors.servers;
  const before = parseAdvertisement(server?.advertisement ?? null);
  const after = parseAdvertisement(clevisVectors.rotated);
  assert.notDeepEqual(after.signingKeys, before.signingKeys);
  assert.ok(!isTrusted(after, { keys: before.signingKeys }), "the hidden key signs only where it is asked to");
});

test("an advertisement is trusted by a thumbprint of any hash, or by a key that was trusted before", () => {
  const advertisement = parseAdvertisement(sign(both, [signing.privateKey, oldSigning.privateKey]));
  for (const thumbprint of allThumbprintsOf(signing.jwk)) assert.ok(isTrusted(advertisement, { thumbprint }));
  assert.ok(isTrusted(advertisement, { keys: [oldSigning.jwk] }));
  assert.ok(!isTrusted(advertisement, { thumbprint: thumbprintOf(exchange.jwk) }), "an exchange key signs nothing");
  assert.ok(!isTrusted(advertisement, { thumbprint: thumbprintOf(oldSigning.jwk) }), "it is not listed");
  assert.ok(!isTrusted(advertisement, { keys: [exchange.jwk] }));
  assert.ok(!isTrusted(advertisement, { keys: [] }));
  assert.throws(() => requireTrust(advertisement, { thumbprint: "A".repeat(43) }), {
    code: "tang/untrusted",
    message: `the advertisement is signed by ${thumbprintOf(signing.jwk)}, none of which is trusted`,
  });
});

test("several signing keys: each must have signed", () => {
  const keys = [member(signing.jwk, "verify"), member(oldSigning.jwk, "verify"), member(exchange.jwk, "deriveKey")];
  const whole = parseAdvertisement(sign({ keys }, [oldSigning.privateKey, signing.privateKey]));
  assert.equal(whole.signingKeys.length, 2);
  assert.throws(() => parseAdvertisement(sign({ keys }, [signing.privateKey])), {
    code: "jws/wrong-signature",
    message: `the advertisement is not signed by its key ${thumbprintOf(oldSigning.jwk)}`,
  });
});

const offCurve = { ...member(exchange.jwk, "deriveKey"), y: exchange.jwk.x };
const WRONG: readonly (readonly [string, JsonObject, string, RegExp])[] = [
  ["signed by another", sign(both, [oldSigning.privateKey]), "jws/wrong-signature", /is not signed by its key/],
  ["no signing key", sign({ keys: both.keys.slice(1) }, [signing.privateKey]), "tang/malformed", /no signing key/],
  ["no exchange key", sign({ keys: both.keys.slice(0, 1) }, [signing.privateKey]), "tang/malformed", /no exchange key/],
  [
    "keys without a use",
    sign({ keys: [signing.jwk, exchange.jwk] }, [signing.privateKey]),
    "tang/malformed",
    /no signing key/,
  ],
  ["no keys", sign({}, [signing.privateKey]), "tang/malformed", /not a list of at most 32 keys/],
  [
    "33 keys",
    sign({ keys: Array(33).fill({}) }, [signing.privateKey]),
    "tang/malformed",
    /not a list of at most 32 keys/,
  ],
  ["a payload that is a list", sign([both], [signing.privateKey]), "tang/malformed", /not a list/],
  ["another type", sign(both, [signing.privateKey], { cty: "x" }), "tang/malformed", /not an advertisement of keys/],
  ["off the curve", sign({ keys: [both.keys[0], offCurve] }, [signing.privateKey]), "jwk/off-curve", /an exchange key/],
];

for (const [name, json, code, message] of WRONG) {
  test(`an advertisement is refused: ${name}`, () => assert.throws(() => parseAdvertisement(json), { code, message }));
}

test("an advertisement whose payload was changed is refused, whichever byte", () => {
  const good = sign(both, [signing.privateKey]);
  const payload = Buffer.from(String(good["payload"]), "base64url");
  fc.assert(
    fc.property(fc.nat(payload.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(payload);
      changed[at] = (changed[at] ?? 0) ^ change;
      assert.throws(
        () => parseAdvertisement({ ...good, payload: changed.toString("base64url") }),
        (error: unknown) => error instanceof NightlatchError,
      );
    }),
  );
});

const point = pointOf(exchange.jwk);
const request = (json: unknown) => Buffer.from(typeof json === "string" ? json : JSON.stringify(json));
const { kty, crv, x, y } = exchange.jwk;

test("a recovery's point is written as tang writes it, and read on both sides", () => {
  const body = formatRecovery(point);
  assert.equal(
    body.toString(),
    `{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"${x}","y":"${y}"}`,
  );
  assert.deepEqual(parseRecoveryReply(body, "P-256"), point);
  assert.deepEqual({ ...parseRecoveryRequest(body) }, JSON.parse(body.toString()));
  const more = { kty, crv, x, y, d: "secret", use: "sig", key_ops: ["deriveKey"] };
  assert.deepEqual({ ...parseRecoveryRequest(request(more)) }, more);
  assert.equal(CURVES["P-256"], point.curve);
});

const REQUESTS: readonly (readonly [string, unknown, string])[] = [
  ["nothing", "", "tang/malformed"],
  ["no JSON", "{", "tang/malformed"],
  ["a name twice", '{"kty":"EC","kty":"EC"}', "tang/malformed"],
  ["text", '"EC"', "tang/malformed"],
  ["a list", [], "tang/malformed"],
  ["a key that may only sign", { kty, crv, x, y, use: "sig" }, "tang/forbidden-use"],
  ["a key that may do nothing", { kty, crv, x, y, key_ops: [] }, "tang/forbidden-use"],
  ["an RSA key", { kty: "RSA" }, "tang/malformed"],
  ["no kind", {}, "tang/malformed"],
  ["another algorithm", { kty, crv, x, y, alg: "ECDH" }, "tang/malformed"],
  ["a number for an algorithm", { kty, crv, x, y, alg: 1 }, "tang/malformed"],
];

for (const [name, json, code] of REQUESTS) {
  test(`a recovery request is refused: ${name}`, () => {
    assert.throws(() => parseRecoveryRequest(request(json)), { code });
  });
}

test("whatever is parsed, it is an advertisement, a point, or an error with a code", () => {
  const attempts = [
    (json: Json) => parseAdvertisement(json),
    (json: Json) => parseRecoveryRequest(request(json)),
    (json: Json) => parseRecoveryReply(request(json), "P-256"),
    (json: Json) => parseAdvertisement(sign(json, [signing.privateKey])),
    (json: Json) => parseAdvertisement(sign({ keys: json }, [signing.privateKey])),
  ];
  const key = fc.record(
    {
      kty: fc.constantFrom("EC", "OKP", "RSA", 1),
      crv: fc.constantFrom("P-256", "P-521", "Ed25519", null),
      x: fc.constantFrom(x, y, "AA", {}),
      y: fc.constantFrom(x, y, "AA", {}),
      use: fc.constantFrom("sig", "enc", 1),
      key_ops: fc.constantFrom(["verify"], ["deriveKey"], [], "verify", [1, "verify"]),
    },
    { requiredKeys: ["kty"] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), key, fc.array(key)), fc.nat(attempts.length - 1), (json, at) => {
      try {
        attempts[at]?.(json as Json);
      } catch (error) {
        assert.ok(error instanceof NightlatchError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
