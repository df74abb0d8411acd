// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { exportPublicJwk, parsePublicJwk } from "../../../../src/formats/jose/jwk.ts";
import {
  formatJws,
  hasSignatureBy,
  isSignedBy,
  parseJws,
  payloadOf,
  signJws,
} from "../../../../src/formats/jose/jws.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";

const b64 = (text: string) => Buffer.from(text).toString("base64url");

/** RFC 7515 appendices A.3 and A.4, RFC 8037 appendix A.4, all in the flattened form. */
const VECTORS = [
  {
    name: "RFC 7515 A.3, ES256",
    key: {
      kty: "EC",
      crv: "P-256",
      x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
      y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    jws: {
      protected: b64('{"alg":"ES256"}'),
      payload: "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
      signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    },
  },
  {
    name: "RFC 7515 A.4, ES512",
    key: {
      kty: "EC",
      crv: "P-521",
      x: "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
      y: "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    },
    jws: {
      protected: b64('{"alg":"ES512"}'),
      payload: b64("Payload"),
      signature:
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
    },
  },
  {
    name: "RFC 8037 A.4, EdDSA",
    key: { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    jws: {
      protected: b64('{"alg":"EdDSA"}'),
      payload: b64("Example of Ed25519 signing"),
      signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    },
  },
] as const;

for (const { name, key, jws } of VECTORS) {
  test(`${name}: verifies; a changed payload, header or signature does not`, () => {
    const jwk = parsePublicJwk(key);
    const verifies = (json: JsonObject) => hasSignatureBy(parseJws(json), jwk);
    assert.ok(verifies(jws));
    assert.ok(!verifies({ ...jws, payload: b64("something else") }));
    assert.ok(!verifies({ ...jws, protected: b64(`${Buffer.from(jws.protected, "base64url")} `) }));
    const broken = Buffer.from(jws.signature, "base64url");
    broken[9] = (broken[9] ?? 0) ^ 1;
    assert.ok(!verifies({ ...jws, signature: broken.toString("base64url") }));
    assert.ok(!verifies({ ...jws, signature: broken.subarray(1).toString("base64url") }));
    assert.deepEqual(formatJws(parseJws(jws)), jws);
  });
}

test("RFC 7515 A.6: the general form, whose other signature is by an algorithm that we do not take", () => {
  const [es256] = VECTORS;
  const general = {
    payload: es256.jws.payload,
    signatures: [{ ...es256.jws, payload: undefined }],
  } as unknown as JsonObject;
  assert.ok(hasSignatureBy(parseJws(general), parsePublicJwk(es256.key)));
  const rs256 = { protected: b64('{"alg":"RS256"}'), signature: "AAAA", header: { kid: "2010-12-29" } };
  assert.throws(() => parseJws({ payload: es256.jws.payload, signatures: [rs256] }), {
    code: "jws/unsupported",
    message: "the signed document is signed with none of ES256, ES384, ES512, EdDSA",
  });
});

const KEYS = [
  generateKeyPairSync("ec", { namedCurve: "P-256" }),
  generateKeyPairSync("ec", { namedCurve: "P-384" }),
  generateKeyPairSync("ec", { namedCurve: "P-521" }),
  generateKeyPairSync("ed25519"),
] as const;

test("several signers make the general form, and each signature is told from the others", () => {
  const payload = Buffer.from("payload");
  const [one, ...others] = KEYS;
  const jws = signJws(payload, [
    { key: one.privateKey, header: { cty: "x" } },
    ...others.map(({ privateKey: key }) => ({ key })),
  ]);
  const parsed = parseJws(JSON.parse(JSON.stringify(formatJws(jws))));
  assert.deepEqual(payloadOf(parsed), payload);
  assert.deepEqual(
    parsed.signatures.map(({ algorithm }) => algorithm),
    ["ES256", "ES384", "ES512", "EdDSA"],
  );
  parsed.signatures.forEach((signature, at) => {
    KEYS.forEach(({ publicKey }, other) => {
      assert.equal(isSignedBy(parsed, signature, exportPublicJwk(publicKey)), at === other);
    });
  });
  assert.equal(Buffer.from(parsed.signatures[0].protected, "base64url").toString(), '{"alg":"ES256","cty":"x"}');
});

test("an algorithm is not confused with another of the same key", () => {
  const [{ privateKey, publicKey }] = KEYS;
  const jws = formatJws(signJws(Buffer.from("x"), [{ key: privateKey }]));
  for (const alg of ["ES384", "EdDSA"]) {
    assert.ok(
      !hasSignatureBy(parseJws({ ...jws, protected: b64(JSON.stringify({ alg })) }), exportPublicJwk(publicKey)),
    );
  }
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  assert.throws(() => signJws(Buffer.from("x"), [{ key: rsa.privateKey }]), { code: "jws/unsupported" });
});

const [{ jws: GOOD }] = VECTORS;
const header = (json: unknown) => ({ ...GOOD, protected: b64(JSON.stringify(json)) });
const WRONG: readonly (readonly [string, unknown, string, RegExp])[] = [
  ["no object", "text", "jws/malformed", /is not a JSON object/],
  ["no payload", { protected: GOOD.protected, signature: GOOD.signature }, "jws/malformed", /no usable member payload/],
  ["padding", { ...GOOD, payload: "AA==" }, "jws/malformed", /payload of the signed document is not base64url/],
  ["no signature", { payload: GOOD.payload, protected: GOOD.protected }, "jws/malformed", /no usable member signature/],
  [
    "only an unprotected header",
    { ...GOOD, protected: undefined, header: { alg: "ES256" } },
    "jws/malformed",
    /protected/,
  ],
  ["alg none", header({ alg: "none" }), "jws/unsupported", /signed with none of ES256/],
  ["alg HS256", header({ alg: "HS256" }), "jws/unsupported", /signed with none of/],
  ["alg of a prototype", header({ alg: "constructor" }), "jws/unsupported", /signed with none of/],
  ["crit", header({ alg: "ES256", crit: ["b64"], b64: false }), "jws/unsupported", /extension of JWS/],
  ["a header that is a list", header([]), "jws/malformed", /is not a JSON object/],
  ["no signatures", { payload: "AA", signatures: [] }, "jws/malformed", /has no signature/],
  ["33 signatures", { payload: "AA", signatures: Array(33).fill(GOOD) }, "jws/malformed", /at most 32 signatures/],
  ["both forms", { ...GOOD, signatures: [GOOD] }, "jws/malformed", /mixes the flattened and the general form/],
];

for (const [name, json, code, message] of WRONG) {
  test(`a JWS is refused: ${name}`, () => {
    assert.throws(() => parseJws(json as JsonObject), { code, message });
  });
}

test("a header with a name that occurs twice is refused", () => {
  const twice = { ...GOOD, protected: b64('{"alg":"ES256","alg":"EdDSA"}') };
  assert.throws(() => parseJws(twice), { code: "json/duplicate-key" });
});

test("whatever is parsed, it is a JWS or an error with a code", () => {
  const text = fc.oneof(fc.string(), fc.base64String(), fc.constantFrom(GOOD.payload, GOOD.protected, GOOD.signature));
  const entry = fc.record({ protected: text, signature: text, header: fc.jsonValue() }, { requiredKeys: [] });
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.record({ payload: text, protected: text, signature: text, signatures: fc.array(entry) }, { requiredKeys: [] }),
  );
  fc.assert(
    fc.property(anything, (json) => {
      try {
        hasSignatureBy(parseJws(json as JsonObject), parsePublicJwk(VECTORS[0].key));
      } catch (error) {
        assert.ok(error instanceof NightlatchError && /^(jws|json)\//.test(error.code), String(error));
      }
    }),
    { numRuns: 500 },
  );
});
