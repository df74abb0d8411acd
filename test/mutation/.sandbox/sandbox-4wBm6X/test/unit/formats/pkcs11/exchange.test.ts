// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import {
  CARD_OUTCOMES,
  type CardAnswer,
  type CardRequest,
  formatCardAnswer,
  formatCardRequest,
  MESSAGE_BYTES,
  parseCardAnswer,
  parseCardRequest,
} from "../../../../src/formats/pkcs11/exchange.ts";

const request: CardRequest = {
  module: "/usr/lib/x.so",
  token: { token: "ops", slotId: 3 },
  object: { id: "01" },
  task: { kind: "decrypt", scheme: "RSA-OAEP-SHA-256", input: Buffer.from("wrapped") },
  attended: false,
  pin: Buffer.from("1234"),
};

const bytesOf = (secret: Secret): Buffer => Buffer.from(secret.reveal());

test("a request comes over as it was sent, with a PIN and without", () => {
  const tasks: readonly CardRequest["task"][] = [
    request.task,
    { kind: "describe" },
    { kind: "derive", curve: "P-384", input: Buffer.from("point") },
  ];
  for (const task of tasks) {
    for (const pin of [Buffer.from("1234"), null]) {
      const sent = { ...request, task, pin };
      assert.deepEqual(parseCardRequest(bytesOf(formatCardRequest(sent))), sent);
    }
  }
});

test("a PIN and a ciphertext are never in the JSON", () => {
  const bytes = bytesOf(formatCardRequest(request));
  const json = bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString();
  assert.ok(!json.includes("1234") && !json.includes("wrapped"), json);
});

test("an answer comes over as it was given, of every outcome", () => {
  for (const outcome of CARD_OUTCOMES) {
    const given = {
      outcome,
      token: { label: "ops", serial: "0f" },
      seen: ["a", "b"],
      failure: { name: "C_Login", value: 0xa0 },
      key: { kind: "RSA", modulus: "c0ffee", exponent: "010001" },
    } as const;
    const secrets = [Secret.copy(Buffer.from("one")), Secret.copy(Buffer.from(""))];
    const { secrets: came, ...rest } = parseCardAnswer(bytesOf(formatCardAnswer({ ...given, secrets })));
    assert.deepEqual(rest, given);
    assert.deepEqual(
      came.map((secret) => secret.reveal().toString()),
      ["one", ""],
    );
  }
});

test("an answer that is cut anywhere, or followed by anything, is none", () => {
  const answer: CardAnswer = { outcome: "done", secrets: [Secret.copy(Buffer.from("0123456789"))] };
  const whole = bytesOf(formatCardAnswer(answer));
  const head = 4 + whole.readUInt32BE(0);
  for (let end = 0; end < whole.length; end++) {
    if (end === head) continue; // whole, of an answer without a secret
    assert.throws(() => parseCardAnswer(whole.subarray(0, end)), { code: "pkcs11/malformed" }, String(end));
  }
  assert.throws(() => parseCardAnswer(Buffer.concat([whole, Buffer.from([0])])), { code: "pkcs11/malformed" });
  assert.throws(() => parseCardAnswer(Buffer.alloc(MESSAGE_BYTES + 1)), { code: "pkcs11/malformed" });
  const parts = Buffer.concat([whole.subarray(0, head), Buffer.alloc(10)]);
  assert.throws(() => parseCardAnswer(parts), { code: "pkcs11/malformed" }); // five of them
});

test("whatever a driver prints is an answer or the one error", () => {
  const json = fc.json().map((text) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((list) => Buffer.from(list)),
    json,
  );
  fc.assert(
    fc.property(bytes, (given) => {
      for (const parse of [parseCardAnswer, parseCardRequest]) {
        try {
          parse(given);
        } catch (error) {
          assert.ok(isError(error, "pkcs11/malformed"), String(error));
        }
      }
    }),
  );
});
