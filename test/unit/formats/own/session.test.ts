import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { digestOf, identityThumbprint, sealMessage } from "../../../../src/formats/own/enrolment.ts";
import {
  buildHeard,
  buildHeartbeat,
  HEARD_BYTES,
  HEARD_LEASE_BYTES,
  HEARTBEAT_BYTES,
  isHeartbeatOf,
  parseHeard,
  readHeartbeat,
} from "../../../../src/formats/own/heartbeat.ts";
import {
  buildSessionAnswer,
  buildSessionRequest,
  makeSessionHalf,
  parseSessionAnswer,
  parseSessionRequest,
  sessionKey,
} from "../../../../src/formats/own/session.ts";

const machine = generateKeyPairSync("ed25519").privateKey;
const server = generateKeyPairSync("ed25519").privateKey;
const serverThumbprint = identityThumbprint(server);
const CHALLENGE = "A".repeat(64);
const SESSION = Buffer.from("0001020304050607", "hex");
const KEY = Buffer.from("5bf0dfaff4955d0334c2193e1f8c5ff4fe5d24bec3ac426494b55fde211a5e8a", "hex");
const BEAT = Buffer.from(
  "000102030405060700000007819f0530b15481c92f157d2d0df68934d5fe220f904076c421ee6a2dfe3dea2c",
  "hex",
);
const HEARD = Buffer.from("010000004bb89f6032113b169c0f9052b760b2d19ec43fa1312bd7905e27b72c140554e934", "hex");

const HEARD_LEASE = Buffer.from(
  "000000004b00000384e868015586e3679312d1d1de28d79a45e9c2450e39396e444399a5472802599c",
  "hex",
);

/** The private key of these bytes (RFC 8410). */
function halfOf(bytes: Buffer) {
  const der = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), bytes]);
  return { secret: createPrivateKey({ key: der, format: "der", type: "pkcs8" }), key: Buffer.alloc(0) };
}

test("the key of a session and its messages are what another implementation makes of them", () => {
  // Python: X25519 by RFC 7748 section 5 in whole numbers, HKDF by RFC 5869 over its own hmac.
  const key = sessionKey(halfOf(Buffer.from(Array.from({ length: 32 }, (_, index) => index))), {
    peer: Buffer.from("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254", "hex"),
    request: Buffer.from("request"),
    answer: Buffer.from("answer"),
    machine: Buffer.alloc(32, 1).toString("base64url"),
    server: Buffer.alloc(32, 2).toString("base64url"),
  });
  assert.deepEqual(key, KEY);
  assert.deepEqual(buildHeartbeat(KEY, SESSION, 7), BEAT);
  assert.deepEqual(buildHeard(KEY, BEAT, { isLocked: true, withinSeconds: 75 }), HEARD);
  assert.equal(BEAT.length, HEARTBEAT_BYTES);
  assert.equal(HEARD.length, HEARD_BYTES);
});

test("both sides come to the same key, and to another in each session", () => {
  const open = () => {
    const [ours, theirs] = [makeSessionHalf(), makeSessionHalf()];
    const request = buildSessionRequest(machine, { challenge: CHALLENGE, server: serverThumbprint, key: ours.key });
    const read = parseSessionRequest(request);
    assert.deepEqual(read, {
      machine: identityThumbprint(machine),
      challenge: CHALLENGE,
      server: serverThumbprint,
      key: ours.key,
    });
    const answer = buildSessionAnswer(server, request, { session: SESSION, key: theirs.key });
    const opened = parseSessionAnswer(answer, { request, serverThumbprint });
    assert.deepEqual(opened.session, SESSION);
    const transcript = { request, answer, machine: read.machine, server: serverThumbprint };
    const key = sessionKey(ours, { peer: opened.key, ...transcript });
    assert.deepEqual(sessionKey(theirs, { peer: read.key, ...transcript }), key);
    for (const changed of [{ request: answer }, { answer: request }, { machine: serverThumbprint }])
      assert.notDeepEqual(sessionKey(ours, { peer: opened.key, ...transcript, ...changed }), key);
    return key;
  };
  assert.notDeepEqual(open(), open());
});

test("a key that leads to the same secret whatever ours is, is refused", () => {
  for (const peer of [Buffer.alloc(32), Buffer.from(`01${"00".repeat(31)}`, "hex"), Buffer.alloc(31, 9)]) {
    const transcript = { peer, request: SESSION, answer: SESSION, machine: serverThumbprint, server: serverThumbprint };
    assert.throws(() => sessionKey(makeSessionHalf(), transcript), {
      code: "enrolment/malformed",
      message: "the key of the session is no X25519 key",
    });
  }
});

test("what is not exactly a request, or not this server's answer to it, is refused", () => {
  const { key } = makeSessionHalf();
  const payload = { challenge: CHALLENGE, server: serverThumbprint, key: key.toString("base64url") };
  const members = "the request for a session must have exactly the members challenge, key, server";
  for (const [wrong, message] of [
    [{ ...payload, more: 1 }, members],
    [{}, members],
    [{ ...payload, key: "" }, "key is not base64url of 32 bytes"],
    [{ ...payload, challenge: "A" }, "challenge is not base64url of 48 bytes"],
    [{ ...payload, server: "A" }, "server is not base64url of 32 bytes"],
  ] as const) {
    const body = sealMessage("nightlatch-session", machine, wrong);
    assert.throws(() => parseSessionRequest(body), { code: "enrolment/malformed", message }, JSON.stringify(wrong));
  }
  assert.throws(() => parseSessionRequest(sealMessage("nightlatch-latch", machine, payload)), {
    code: "enrolment/malformed",
    message: "the request for a session is not of type nightlatch-session",
  });
  const request = buildSessionRequest(machine, { challenge: CHALLENGE, server: serverThumbprint, key });
  const answer = buildSessionAnswer(server, request, { session: SESSION, key });
  const expected = { request, serverThumbprint };
  const untrusted = {
    code: "enrolment/untrusted",
    message: "somebody else answered in the server's place",
    remedy: "Check the address in between.",
  };
  assert.throws(
    () => parseSessionAnswer(answer, { ...expected, serverThumbprint: identityThumbprint(machine) }),
    untrusted,
  );
  assert.throws(() => parseSessionAnswer(answer, { ...expected, request: answer }), untrusted);
  const right = { request: digestOf(request), key: key.toString("base64url"), session: SESSION.toString("base64url") };
  for (const [wrong, message] of [
    [{ ...right, more: 1 }, "the server's answer must have exactly the members key, request, session"],
    [{ ...right, key: "" }, "key is not base64url of 32 bytes"],
    [{ ...right, session: "" }, "session is not base64url of 8 bytes"],
  ] as const) {
    const body = sealMessage("nightlatch-session-opened", server, wrong);
    assert.throws(() => parseSessionAnswer(body, expected), { code: "enrolment/malformed", message });
  }
  assert.throws(() => parseSessionAnswer(request, expected), {
    code: "enrolment/malformed",
    message: "the server's answer is not of type nightlatch-session-opened",
  });
});

test("an answer that tells of a lease is what another implementation makes of it, and no bit of it can be changed", () => {
  const heard = { isLocked: false, withinSeconds: 75, leaseSeconds: 900 };
  assert.deepEqual(buildHeard(KEY, BEAT, heard), HEARD_LEASE);
  assert.equal(HEARD_LEASE.length, HEARD_LEASE_BYTES);
  assert.deepEqual(parseHeard(KEY, BEAT, HEARD_LEASE), heard);
  const none = { ...heard, isLocked: true, leaseSeconds: 0 };
  assert.deepEqual(parseHeard(KEY, BEAT, buildHeard(KEY, BEAT, none)), none);
  for (let bit = 0; bit < HEARD_LEASE_BYTES * 8; bit++)
    assert.equal(parseHeard(KEY, BEAT, flip(HEARD_LEASE, bit)), null, String(bit));
  assert.equal(parseHeard(KEY, buildHeartbeat(KEY, SESSION, 8), HEARD_LEASE), null);
  const shorter = Buffer.concat([HEARD_LEASE.subarray(0, 5), HEARD_LEASE.subarray(9)]);
  assert.equal(parseHeard(KEY, BEAT, shorter), null, "without the lease");
  assert.equal(parseHeard(KEY, BEAT, Buffer.concat([HEARD.subarray(0, 5), Buffer.alloc(4), HEARD.subarray(5)])), null);
});

const flip = (bytes: Buffer, bit: number) => {
  const changed = Buffer.from(bytes);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
};

test("no bit of a heartbeat or its answer can be changed", () => {
  assert.ok(isHeartbeatOf(KEY, BEAT));
  assert.deepEqual(readHeartbeat(BEAT), { session: SESSION, counter: 7 });
  assert.deepEqual(parseHeard(KEY, BEAT, HEARD), { isLocked: true, withinSeconds: 75 });
  for (let bit = 0; bit < HEARTBEAT_BYTES * 8; bit++) assert.ok(!isHeartbeatOf(KEY, flip(BEAT, bit)), String(bit));
  for (let bit = 0; bit < HEARD_BYTES * 8; bit++) assert.equal(parseHeard(KEY, BEAT, flip(HEARD, bit)), null);
  const other = buildHeartbeat(KEY, SESSION, 8);
  assert.equal(parseHeard(KEY, other, HEARD), null, "an answer to another heartbeat");
  assert.equal(isHeartbeatOf(KEY, Buffer.concat([BEAT.subarray(0, 12), HEARD.subarray(5)])), false);
});

test("whatever comes is a heartbeat or none, and its reader does not fail", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const body = Buffer.from(bytes);
      assert.equal(readHeartbeat(body) === null, body.length !== HEARTBEAT_BYTES);
      if (body.length === HEARTBEAT_BYTES) assert.equal(isHeartbeatOf(KEY, body), false);
      assert.equal(parseHeard(KEY, BEAT, body), null);
    }),
  );
});
