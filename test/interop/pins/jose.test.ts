/** Our formats against libjose's command, which tang and clevis are made of. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { CURVES } from "../../../src/formats/jose/curve.ts";
import { exportPublicJwk, jwkOfPoint, parseEcPublicJwk, pointOf, thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { formatJws, hasSignatureBy, parseJws, signJws } from "../../../src/formats/jose/jws.ts";
import { type Json, type JsonObject, parseJson } from "../../../src/formats/json/json.ts";
import { beginRecovery, createMultiplier, provision } from "../../../src/formats/tang/ecmr.ts";
import { permits } from "../../../src/formats/tang/tang.ts";
import { readEcPrivateJwk } from "../../support/keys.ts";

const skip: string | false = spawnSync("jose", ["alg"]).status === 0 ? false : "jose is not installed";

function jose(args: readonly string[], input: string): string | null {
  const { status, stdout } = spawnSync("jose", args, { input, encoding: "utf8" });
  return status === 0 ? stdout : null;
}

function joseJson(args: readonly string[], input = ""): Json {
  return parseJson(jose(args, input) ?? assert.fail(`jose ${args.join(" ")}`), "jose's output", {
    lengthBytes: 1 << 16,
  });
}

const generate = (template: JsonObject) => joseJson(["jwk", "gen", "-i", JSON.stringify(template)]);

for (const crv of ["P-256", "P-384", "P-521"] as const) {
  test(`${crv}: our exchange is jose's ECMR`, { skip }, () => {
    const server = readEcPrivateJwk(generate({ alg: "ECMR", crv }));
    const serverKey = pointOf(server);
    const multiplier = createMultiplier(CURVES[crv], Buffer.from(server.d, "base64url"));
    const { ephemeral, sharedX } = provision(serverKey, randomBytes);

    const exchanged = (local: JsonObject, remote: JsonObject) =>
      parseEcPublicJwk(joseJson(["jwk", "exc", "-l-", "-r-"], JSON.stringify(local) + JSON.stringify(remote)));
    // jose takes the operation from the keys: multiply where the local one is private, add where
    // the remote one is, else subtract
    const operand = ({ x, y, d }: { x: string; y: string; d?: string }): JsonObject => ({
      ...{ alg: "ECMR", kty: "EC", crv, x, y },
      ...(d === undefined ? {} : { d }),
    });

    // Y=sX, the server's half
    const recovery = beginRecovery(ephemeral, serverKey, randomBytes);
    const reply = exchanged(operand(server), operand(jwkOfPoint(recovery.request)));
    assert.deepEqual(pointOf(reply), multiplier.multiply(recovery.request));
    assert.ok(recovery.finish(pointOf(reply)).some((candidate) => candidate.equals(sharedX)));

    // X=C+eG and K=Y−eS, the client's half
    const blinding = readEcPrivateJwk(generate({ alg: "ECMR", crv }));
    const request = exchanged(operand(jwkOfPoint(ephemeral)), operand(blinding));
    const ourReply = jwkOfPoint(multiplier.multiply(pointOf(request)));
    const shared = exchanged(operand(ourReply), operand(exchanged(operand(blinding), operand(jwkOfPoint(serverKey)))));
    assert.deepEqual(Buffer.from(shared.x, "base64url"), sharedX);
    assert.equal(sharedX.length, CURVES[crv].lengthBytes);
  });

  test(`${crv}: thumbprints are jose's`, { skip }, () => {
    const key = generate({ kty: "EC", crv });
    for (const hash of ["S1", "S224", "S256", "S384", "S512"] as const) {
      assert.equal(
        thumbprintOf(parseEcPublicJwk(key), hash),
        jose(["jwk", "thp", "-i-", "-a", hash], JSON.stringify(key)),
      );
    }
  });

  test(`${crv}: jose verifies our signatures and we verify jose's`, { skip }, () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: crv });
    const ours = formatJws(signJws(Buffer.from("hello"), [{ key: privateKey }]));
    const jwk = { ...publicKey.export({ format: "jwk" }) };
    assert.notEqual(jose(["jws", "ver", "-i", JSON.stringify(ours), "-k-"], JSON.stringify(jwk)), null);

    const key = { ...privateKey.export({ format: "jwk" }) };
    const [encoded, payload, signature] = (
      jose(["jws", "sig", "-i", '{"payload":"aGVsbG8"}', "-k-", "-c"], JSON.stringify(key)) ?? ""
    ).split(".");
    const theirs = { protected: String(encoded), payload: String(payload), signature: String(signature) };
    assert.ok(hasSignatureBy(parseJws(theirs), exportPublicJwk(publicKey)));
  });
}

test("what a key permits is what jose says", { skip }, () => {
  const keys: JsonObject[] = [
    {},
    { use: "enc" },
    { use: "sig" },
    { use: "other" },
    { use: 1 },
    { use: null },
    { key_ops: [] },
    { key_ops: {} },
    { key_ops: null },
    { key_ops: "deriveKey" },
    { key_ops: ["deriveKey"] },
    { key_ops: ["deriveBits"] },
    { key_ops: [1, "verify"] },
    { key_ops: ["sign", "verify"] },
    { use: "sig", key_ops: ["deriveKey"] },
    { use: "other", key_ops: ["deriveKey"] },
  ];
  for (const members of keys) {
    const key = { kty: "EC", crv: "P-256", ...members };
    for (const operation of ["sign", "verify", "deriveKey"] as const) {
      for (const explicit of [false, true]) {
        const args = ["jwk", "use", "-i-", "-u", operation, ...(explicit ? ["-r"] : [])];
        const expected = jose(args, JSON.stringify(key)) !== null;
        assert.equal(
          permits(key, operation, explicit),
          expected,
          `${JSON.stringify(members)} ${operation} ${explicit}`,
        );
      }
    }
  }
});
