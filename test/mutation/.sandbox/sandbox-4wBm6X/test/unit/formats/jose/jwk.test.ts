// @ts-nocheck
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import {
  exportPublicJwk,
  hasThumbprint,
  importEd25519Seed,
  importPublicKey,
  jwkOfPoint,
  parseEcPublicJwk,
  parsePublicJwk,
  pointOf,
  thumbprintOf,
} from "../../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import { allThumbprintsOf } from "../../../support/keys.ts";

/** RFC 7517 appendix A.2 */
const RFC7517 = {
  kty: "EC",
  crv: "P-256",
  x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
  y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
  d: "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
  use: "enc",
  kid: "1",
};
/** RFC 8037 appendix A.1 */
const RFC8037 = {
  kty: "OKP",
  crv: "Ed25519",
  d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
};

test("RFC 7517 A.2: a private part that came with a public key is dropped", () => {
  const { d: _d, kid: _kid, ...rest } = RFC7517;
  assert.deepEqual(parsePublicJwk(RFC7517), rest);
});

test("RFC 8037 A.1 to A.3: an Ed25519 key and its thumbprint", () => {
  const { d, ...rest } = RFC8037;
  const jwk = parsePublicJwk(RFC8037);
  assert.deepEqual(jwk, rest);
  assert.equal(thumbprintOf(jwk), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  assert.deepEqual(exportPublicJwk(createPrivateKey({ key: RFC8037, format: "jwk" })), jwk);
  assert.deepEqual(exportPublicJwk(importEd25519Seed(Buffer.from(d, "base64url"))), jwk);
});

test("a key is found by its thumbprint under each hash, and by nothing else", () => {
  const jwk = parsePublicJwk(RFC7517);
  const names = allThumbprintsOf(jwk);
  assert.deepEqual(
    names.map((name) => name.length),
    [27, 38, 43, 64, 86],
  );
  assert.ok(names.every((name) => hasThumbprint(jwk, name)));
  assert.ok(!hasThumbprint(jwk, thumbprintOf(parsePublicJwk(RFC8037))));
  assert.ok(!hasThumbprint(jwk, ""));
  assert.ok(!hasThumbprint(jwk, names[2]?.slice(1) ?? ""));
});

test("points, JWKs and node's keys turn into each other", () => {
  for (const namedCurve of ["P-256", "P-384", "P-521"]) {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve });
    const jwk = parseEcPublicJwk({ ...publicKey.export({ format: "jwk" }) } as JsonObject);
    assert.deepEqual(jwkOfPoint(pointOf(jwk)), jwk);
    assert.ok(importPublicKey(jwk).equals(publicKey));
    assert.deepEqual(exportPublicJwk(publicKey), jwk);
  }
});

const { d: _d, ...PUBLIC } = RFC7517;
const MALFORMED: readonly (readonly [string, unknown, string, RegExp])[] = [
  ["no object", [], "jwk/malformed", /^the key is not a JSON object$/],
  ["null", null, "jwk/malformed", /is not a JSON object/],
  ["no kty", {}, "jwk/malformed", /has no usable member kty/],
  ["RSA", { kty: "RSA" }, "jwk/unsupported", /neither an EC nor an OKP key/],
  ["another curve", { ...PUBLIC, crv: "secp256k1" }, "jwk/unsupported", /not on a NIST curve/],
  ["a curve named like a method", { ...PUBLIC, crv: "toString" }, "jwk/unsupported", /not on a NIST curve/],
  ["X25519", { ...RFC8037, crv: "X25519" }, "jwk/unsupported", /not an Ed25519 key/],
  ["a number for x", { ...PUBLIC, x: 1 }, "jwk/malformed", /no usable member x/],
  ["a short x", { ...PUBLIC, x: PUBLIC.x.slice(0, -2) }, "jwk/malformed", /x of the key is not base64url of 32 bytes/],
  ["a leading zero", { ...PUBLIC, x: `AA${PUBLIC.x}` }, "jwk/malformed", /not base64url of 32 bytes/],
  ["padding", { ...PUBLIC, x: `${PUBLIC.x}=` }, "jwk/malformed", /not base64url of 32 bytes/],
  ["stray bits", { ...PUBLIC, x: `${PUBLIC.x.slice(0, -1)}5` }, "jwk/malformed", /not base64url of 32 bytes/],
  ["base64", { ...PUBLIC, x: PUBLIC.x.replace("A", "+") }, "jwk/malformed", /not base64url/],
  ["x and y swapped", { ...PUBLIC, x: PUBLIC.y, y: PUBLIC.x }, "jwk/off-curve", /^the key is not a point of P-256$/],
  ["the origin", { ...PUBLIC, x: "A".repeat(43), y: "A".repeat(43) }, "jwk/off-curve", /not a point/],
  ["a huge x", { ...PUBLIC, x: `${"_".repeat(42)}8`, y: PUBLIC.y }, "jwk/off-curve", /not a point/],
  ["a long name", { ...PUBLIC, crv: "x".repeat(1000) }, "jwk/malformed", /no usable member crv/],
  ["key_ops that is no list", { ...PUBLIC, key_ops: "sign" }, "jwk/malformed", /key_ops of the key is not a list/],
  ["too many key_ops", { ...PUBLIC, key_ops: Array(17).fill("sign") }, "jwk/malformed", /at most 16 names/],
  ["a number in key_ops", { ...PUBLIC, key_ops: [1] }, "jwk/malformed", /holds something that is not a name/],
];

for (const [name, jwk, code, message] of MALFORMED) {
  test(`a public key is refused: ${name}`, () => {
    assert.throws(() => parsePublicJwk(jwk as JsonObject), { code, message });
  });
}

test("whatever is parsed, it is a key or an error with a code", () => {
  const member = fc.oneof(
    fc.string(),
    fc.constantFrom("EC", "OKP", "P-256", "Ed25519", PUBLIC.x, PUBLIC.y),
    fc.jsonValue(),
  );
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.record({ kty: member, crv: member, x: member, y: member, d: member, key_ops: member }, { requiredKeys: [] }),
  );
  fc.assert(
    fc.property(anything, (json) => {
      try {
        parsePublicJwk(json as JsonObject);
      } catch (error) {
        assert.ok(error instanceof NightlatchError && error.code.startsWith("jwk/"), String(error));
      }
    }),
    { numRuns: 500 },
  );
});
