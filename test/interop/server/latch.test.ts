/** The machine's side against our own server, over the real network and real files. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { anotherLatch, enrolMachine } from "../../../src/pins/latch/enrol.ts";
import { forgetNonce, listServers } from "../../../src/pins/latch/machine.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { serve } from "../../support/serve.ts";

const limits = { timeoutMs: 20_000 };
const VOLUME = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

test("invite, enrol, seal, open; lock, unlock, revoke; one latch per volume", async () => {
  await using server = await serve();
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-machine-"));
  const state = join(folder, "machine");
  try {
    const { invite: line } = await server.json("machine", "invite", "nas");
    const invite = parseInvite(String(line));
    const latch = await enrolMachine(nodeSystem, state, invite, VOLUME, limits);
    assert.equal(latch.name, "nas");
    assert.equal(statSync(state).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(state), [
      "identity.key",
      `pending-${VOLUME}.json`,
      `server-${invite.thumbprint}.json`,
    ]);
    for (const name of readdirSync(state)) assert.equal(statSync(join(state, name)).mode & 0o777, 0o600);

    const again = await enrolMachine(nodeSystem, state, parseInvite(String(line)), VOLUME, limits);
    assert.equal(again.latchUrl, latch.latchUrl, "cut short before the token: the same latch");
    const jwe = sealToAdvertisement(nodeSystem, latch.latchUrl, latch.advertisement, Buffer.from("secret"));
    await forgetNonce(nodeSystem, state, VOLUME);
    const open = async () => (await recoverSecret(nodeSystem, jwe, limits)).reveal().toString();
    assert.equal(await open(), "secret");

    const second = await anotherLatch(nodeSystem, state, { volume: "second" }, limits);
    assert.notEqual(second.latchUrl, latch.latchUrl);
    const third = await enrolMachine(nodeSystem, state, parseInvite(String(line)), "third", limits);
    assert.notEqual(third.latchUrl, second.latchUrl);
    assert.equal((await listServers(nodeSystem, state))[0]?.url, invite.url);

    await server.json("machine", "lock", "nas");
    await assert.rejects(open(), { code: "pin/locked" });
    await assert.rejects(anotherLatch(nodeSystem, state, { volume: "fourth" }, limits), { code: "machine/locked" });
    await server.json("machine", "unlock", "nas");
    assert.equal(await open(), "secret");
    await server.json("machine", "revoke", "nas");
    await assert.rejects(open(), { code: "pin/revoked" });
    await assert.rejects(anotherLatch(nodeSystem, state, { volume: "fourth" }, limits), { code: "machine/revoked" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("another machine with the same invite is refused, and a made-up one is unknown", async () => {
  await using server = await serve();
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-machine-"));
  try {
    const { invite: line } = await server.json("machine", "invite", "nas");
    await enrolMachine(nodeSystem, join(folder, "one"), parseInvite(String(line)), VOLUME, limits);
    await assert.rejects(enrolMachine(nodeSystem, join(folder, "two"), parseInvite(String(line)), VOLUME, limits), {
      code: "invite/used",
    });
    const madeUp = { ...parseInvite(String(line)), id: "A".repeat(22) };
    await assert.rejects(enrolMachine(nodeSystem, join(folder, "three"), madeUp, VOLUME, limits), {
      code: "invite/unknown",
    });
    assert.deepEqual(await listServers(nodeSystem, join(folder, "two")), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
