// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { parseClevisPin } from "../../../../src/formats/clevis/clevis.ts";
import {
  ecdhCardHeader,
  parseEcdhCardPin,
  parseRsaCardPin,
  rsaCardHeader,
} from "../../../../src/formats/clevis/pkcs11.ts";
import { encryptJwe } from "../../../../src/formats/jose/jwe.ts";
import { parseEcPublicJwk } from "../../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";

const pinOf = (header: JsonObject) =>
  parseClevisPin(encryptJwe(header, Buffer.alloc(32), randomBytes(12), Buffer.from("secret")));
const rsa = (pkcs11: JsonObject, alg = "dir") =>
  parseRsaCardPin(pinOf({ alg, enc: "A256GCM", clevis: { pin: "pkcs11", pkcs11 } }));
const uri = "pkcs11:token=ops;object=disk";
const key = Buffer.from("wrapped").toString("base64url");

test("what is written is read, by every way of wrapping", () => {
  for (const scheme of ["RSA-PKCS", "RSA-OAEP-SHA-1", "RSA-OAEP-SHA-256"] as const) {
    assert.deepEqual(parseRsaCardPin(pinOf(rsaCardHeader(uri, scheme, key))), {
      uri: { token: { token: "ops" }, object: { object: "disk" } },
      scheme,
      wrapped: Buffer.from("wrapped"),
    });
  }
});

test("clevis's own form is read: its mechanism may be empty or absent, and OAEP has SHA-256", () => {
  assert.equal(rsa({ uri, key, mechanism: "" }).scheme, "RSA-PKCS");
  assert.equal(rsa({ uri, key }).scheme, "RSA-PKCS");
  assert.equal(rsa({ uri, key, mechanism: "RSA-PKCS-OAEP" }).scheme, "RSA-OAEP-SHA-256");
});

test("a header that is none is refused", () => {
  const fails = (code: string, pkcs11: JsonObject, alg?: string) =>
    assert.throws(() => rsa(pkcs11, alg), { code }, JSON.stringify(pkcs11));
  fails("clevis/malformed", { uri });
  fails("clevis/malformed", { uri, key: "" });
  fails("clevis/malformed", { uri, key: "a+b" });
  fails("clevis/malformed", { uri, key: "A".repeat(2732) });
  fails("clevis/malformed", { key });
  fails("clevis/malformed", { key, uri: 1 });
  fails("clevis/malformed", { uri, key, mechanism: "RSA-X-509" });
  fails("clevis/malformed", { uri, key, mechanism: 9 });
  fails("clevis/malformed", { uri, key, mechanism: "RSA-PKCS-OAEP", hash: "MD5" });
  fails("pkcs11/malformed", { key, uri: "pkcs11:token=a;token=b" });
  fails("jwe/unsupported", { uri, key }, "ECDH-ES");
});

test("a binding to an EC key holds its ephemeral key, on a curve", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const { kty, crv, x, y } = parseEcPublicJwk(publicKey.export({ format: "jwk" }) as JsonObject);
  const ephemeral = { kty, crv, x, y };
  const header = ecdhCardHeader(uri, ephemeral);
  assert.deepEqual(parseEcdhCardPin(pinOf(header)), {
    uri: { token: { token: "ops" }, object: { object: "disk" } },
    ephemeral,
  });
  const epk = { kty, crv, x, y: x };
  assert.throws(() => parseEcdhCardPin(pinOf({ ...header, epk })), { code: "jwk/off-curve" });
  assert.throws(() => parseEcdhCardPin(pinOf({ ...header, alg: "dir" })), { code: "jwe/unsupported" });
});
