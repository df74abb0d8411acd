import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { Secret } from "../../src/core/secret.ts";
import {
  buildEnrolAnswer,
  buildEnrolRequest,
  buildLatchRequest,
  machineIdOf,
  parseEnrolAnswer,
  parseEnrolRequest,
  parseLatchRequest,
  provesInvite,
} from "../../src/formats/enrolment.ts";
import { formatInvite, type Invite, parseInvite } from "../../src/formats/invite.ts";
import { type EcPublicJwk, exportPublicJwk } from "../../src/formats/jwk.ts";
import { buildAdvertisement } from "../../src/formats/tang.ts";

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
  thumbprint: machineIdOf(server.privateKey),
};
const wish = { nonce: randomBytes(16), volume: "1b4e28ba-2fa1-11d2-883f-0016d3cca427" };

test("an invite survives its line, white space around it included", () => {
  const parsed = parseInvite(`  ${formatInvite(invite)}\n`);
  assert.deepEqual({ ...parsed, key: null }, { ...invite, key: null });
  assert.deepEqual(parsed.key.reveal(), invite.key.reveal());
});

test("the two messages of an enrolment are built, verified and believed", () => {
  const body = buildEnrolRequest(machine.privateKey, invite, wish);
  const request = parseEnrolRequest(body);
  assert.equal(request.invite, invite.id);
  assert.equal(request.machine, machineIdOf(machine.publicKey));
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
  assert.equal(request.machine, machineIdOf(machine.publicKey));
  assert.equal(request.volume, wish.volume);
});
