/**
 * Stock clevis against our server: what the issue promises to those who use nothing else of ours on
 * the machine.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { buildEnrolRequest, identityThumbprint, parseEnrolAnswer } from "../../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { type Served, serve } from "../../support/serve.ts";

const noClevis = spawnSync("clevis", ["--help"]).error === undefined ? false : "clevis is not installed";

/** Invites and enrols a machine as the wire says; the latch's base address. */
async function enrol(server: Served, name: string): Promise<string> {
  const { invite } = await server.json("machine", "invite", name);
  const { id, key, url, thumbprint } = parseInvite(String(invite));
  const identity = generateKeyPairSync("ed25519").privateKey;
  const body = buildEnrolRequest(identity, { id, key }, { nonce: randomBytes(16), volume: "7d5b2c1e" });
  const answer = await fetch(`${url}/enroll`, { method: "POST", body: new Uint8Array(body) });
  assert.equal(answer.status, 200);
  const enrolled = parseEnrolAnswer(Buffer.from(await answer.arrayBuffer()), {
    request: body,
    machine: identityThumbprint(identity),
    serverThumbprint: thumbprint,
  });
  assert.equal(enrolled.name, name);
  return `${url}/latch/${enrolled.latch}`;
}

function clevis(args: readonly string[], input: string) {
  return spawnSync("clevis", [...args], { input, encoding: "utf8", timeout: 60_000 });
}

test("stock clevis seals to a latch and opens, until the machine is locked or revoked", {
  skip: noClevis,
}, async () => {
  await using server = await serve();
  const url = await enrol(server, "nas");
  const sealed = clevis(["encrypt", "tang", JSON.stringify({ url }), "-y"], "a secret");
  assert.equal(sealed.status, 0, sealed.stderr);
  // It asks for the advertisement by the key's name where it is given one, and checks each
  // signature in it.
  const listed = spawnSync("sh", [
    "-c",
    `curl -s ${url}/adv | jose fmt -j- -g payload -y -o- | jose jwk use -i- -r -u verify -o- | jose jwk thp -i- -a S256`,
  ]);
  const named = clevis(["encrypt", "tang", JSON.stringify({ url, thp: String(listed.stdout).trim() })], "by name");
  assert.equal(named.status, 0, named.stderr);
  assert.equal(clevis(["decrypt"], named.stdout).stdout, "by name");
  const open = () => clevis(["decrypt"], sealed.stdout);
  assert.equal(open().stdout, "a secret");

  await server.json("machine", "lock", "nas");
  assert.notEqual(open().status, 0);
  await server.json("machine", "unlock", "nas");
  assert.equal(open().stdout, "a secret");

  await server.json("machine", "revoke", "nas");
  assert.notEqual(open().status, 0);
  // The server may close an idle connection in the moment in which it is used again.
  const ask = () => fetch(`${url}/adv`);
  const gone = await ask().catch(ask);
  assert.equal(gone.status, 410);
  assert.deepEqual(await gone.json(), { error: "latch/revoked" });
});
