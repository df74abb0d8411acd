import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import { buildLatchRequest, digestOf, identityThumbprint, sealMessage } from "../../../../src/formats/own/enrolment.ts";
import {
  buildChallenge,
  buildLeaseAnswer,
  buildLeaseRequest,
  parseChallenge,
  parseLeaseAnswer,
  parseLeaseRequest,
} from "../../../../src/formats/own/lease.ts";

const machine = generateKeyPairSync("ed25519").privateKey;
const server = generateKeyPairSync("ed25519").privateKey;
const serverThumbprint = identityThumbprint(server);
const CHALLENGE = "A".repeat(64);
const MONTH_S = 31 * 86_400;
const OURS = "the lease request does not say";
const WANTED = { challenge: CHALLENGE, server: serverThumbprint, seconds: 900, graceSeconds: 60 };

test("a request and its answer are read as they were written", () => {
  const request = buildLeaseRequest(machine, WANTED);
  assert.deepEqual(parseLeaseRequest(request), { ...WANTED, machine: identityThumbprint(machine) });
  for (const answer of [
    { isNeeded: true, seconds: 900 },
    { isNeeded: false, seconds: 0 },
  ]) {
    assert.deepEqual(
      parseLeaseAnswer(buildLeaseAnswer(server, request, answer), { request, serverThumbprint }),
      answer,
    );
  }
  assert.equal(parseChallenge(Buffer.from(buildChallenge(CHALLENGE))), CHALLENGE);
});

test("what is not exactly a request is refused", () => {
  const payload = { challenge: CHALLENGE, server: serverThumbprint, seconds: 900, grace: 60 };
  const members = "the lease request must have exactly the members challenge, grace, seconds, server";
  const [length, grace] = [`${OURS} for how long`, `${OURS} what its grace is`];
  const wrong: readonly (readonly [object: JsonObject, message: string])[] = [
    [{ ...payload, more: 1 }, members],
    [{ challenge: CHALLENGE, server: serverThumbprint, seconds: 900 }, members],
    [{ ...payload, seconds: -1 }, length],
    [{ ...payload, seconds: 1.5 }, length],
    [{ ...payload, seconds: "900" }, length],
    [{ ...payload, seconds: MONTH_S + 1 }, length],
    [{ ...payload, grace: -1 }, grace],
    [{ ...payload, grace: MONTH_S + 1 }, grace],
    [{ ...payload, challenge: CHALLENGE.slice(1) }, "challenge is not base64url of 48 bytes"],
    [{ ...payload, server: "x" }, "server is not base64url of 32 bytes"],
  ];
  for (const [one, message] of wrong) {
    const body = sealMessage("nightlatch-lease", machine, one);
    assert.throws(() => parseLeaseRequest(body), { code: "enrolment/malformed", message }, JSON.stringify(one));
  }
  for (const bound of [0, MONTH_S]) {
    const wanted = { ...WANTED, seconds: bound, graceSeconds: bound };
    assert.deepEqual(parseLeaseRequest(buildLeaseRequest(machine, wanted)).seconds, bound);
  }
  const latch = buildLatchRequest(machine, { nonce: Buffer.alloc(16), volume: "v" });
  assert.throws(() => parseLeaseRequest(latch), { code: "enrolment/malformed" });
  const signed = JSON.parse(String(buildLeaseRequest(machine, WANTED))) as { payload: string };
  const longer = Buffer.from(JSON.stringify({ ...payload, seconds: 86_400 })).toString("base64url");
  const forged = Buffer.from(JSON.stringify({ ...signed, payload: longer }));
  assert.throws(() => parseLeaseRequest(forged), { code: "enrolment/malformed" });
});

test("what is not exactly a challenge, or an answer, is refused", () => {
  const what = "the server's challenge";
  for (const [text, message] of [
    ["[]", `${what} must have exactly the members challenge`],
    [`{"challenge":"${CHALLENGE}","more":1}`, `${what} must have exactly the members challenge`],
    ['{"challenge":"AA"}', "challenge is not base64url of 48 bytes"],
  ] as const) {
    assert.throws(() => parseChallenge(Buffer.from(text)), { code: "enrolment/malformed", message }, text);
  }
  assert.throws(() => parseChallenge(Buffer.from(`{"challenge":["${CHALLENGE}"]}`)), {
    code: "json/too-large",
    message: "the server's challenge is nested deeper than 1",
  });
  const request = buildLeaseRequest(machine, WANTED);
  const payload = { policy: "lease", seconds: 900, request: digestOf(request) };
  const members = "the server's answer must have exactly the members policy, request, seconds";
  for (const [one, message] of [
    [{ ...payload, more: 1 }, members],
    [{ ...payload, policy: "never" }, "the server's answer names no policy that is known"],
    [{ ...payload, seconds: -1 }, "the server's answer does not say for how long"],
    [{ ...payload, seconds: MONTH_S + 1 }, "the server's answer does not say for how long"],
  ] as const) {
    const answer = sealMessage("nightlatch-leased", server, one);
    assert.throws(() => parseLeaseAnswer(answer, { request, serverThumbprint }), {
      code: "enrolment/malformed",
      message,
    });
  }
  assert.throws(() => parseLeaseAnswer(Buffer.from("{}"), { request, serverThumbprint }), {
    code: "enrolment/malformed",
    message: "the server's answer must have exactly the members payload, protected, signature",
  });
});

test("an answer of another server, or to another request, is not believed", () => {
  const request = buildLeaseRequest(machine, WANTED);
  const answer = buildLeaseAnswer(server, request, { isNeeded: true, seconds: 900 });
  const other = buildLeaseRequest(machine, { ...WANTED, seconds: 0 });
  const untrusted = {
    code: "enrolment/untrusted",
    message: "somebody else answered in the server's place",
    remedy: "Check the address in between.",
  };
  assert.throws(() => parseLeaseAnswer(answer, { request: other, serverThumbprint }), untrusted);
  const stranger = buildLeaseAnswer(machine, request, { isNeeded: false, seconds: 0 });
  assert.throws(() => parseLeaseAnswer(stranger, { request, serverThumbprint }), untrusted);
});

test("nothing that is received throws anything but our own errors", () => {
  const request = buildLeaseRequest(machine, WANTED);
  const readers = [
    parseChallenge,
    parseLeaseRequest,
    (body: Uint8Array) => parseLeaseAnswer(body, { request, serverThumbprint }),
  ];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(bytes, (body) => {
      for (const read of readers) {
        try {
          read(body);
        } catch (error) {
          assert.ok(isError(error), String(error));
        }
      }
    }),
  );
});
