import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { buildLatchRequest, identityThumbprint, sealMessage } from "../../../../src/formats/own/enrolment.ts";
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
  const wrong = [
    { ...payload, more: 1 },
    { ...payload, seconds: -1 },
    { ...payload, seconds: 1.5 },
    { ...payload, seconds: "900" },
    { ...payload, seconds: 31 * 86_400 + 1 },
    { ...payload, grace: -1 },
    { ...payload, challenge: CHALLENGE.slice(1) },
    { ...payload, server: "x" },
    { challenge: CHALLENGE, server: serverThumbprint, seconds: 900 },
  ];
  for (const one of wrong) {
    const body = sealMessage("nightlatch-lease", machine, one);
    assert.throws(() => parseLeaseRequest(body), { code: "enrolment/malformed" }, JSON.stringify(one));
  }
  const latch = buildLatchRequest(machine, { nonce: Buffer.alloc(16), volume: "v" });
  assert.throws(() => parseLeaseRequest(latch), { code: "enrolment/malformed" });
  const signed = JSON.parse(String(buildLeaseRequest(machine, WANTED))) as { payload: string };
  const longer = Buffer.from(JSON.stringify({ ...payload, seconds: 86_400 })).toString("base64url");
  const forged = Buffer.from(JSON.stringify({ ...signed, payload: longer }));
  assert.throws(() => parseLeaseRequest(forged), { code: "enrolment/malformed" });
});

test("an answer of another server, or to another request, is not believed", () => {
  const request = buildLeaseRequest(machine, WANTED);
  const answer = buildLeaseAnswer(server, request, { isNeeded: true, seconds: 900 });
  const other = buildLeaseRequest(machine, { ...WANTED, seconds: 0 });
  assert.throws(() => parseLeaseAnswer(answer, { request: other, serverThumbprint }), { code: "enrolment/untrusted" });
  const stranger = buildLeaseAnswer(machine, request, { isNeeded: false, seconds: 0 });
  assert.throws(() => parseLeaseAnswer(stranger, { request, serverThumbprint }), { code: "enrolment/untrusted" });
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
