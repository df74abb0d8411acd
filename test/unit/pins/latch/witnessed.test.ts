/** What a machine makes of what witnesses have signed of a server's log. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withoutRefused } from "../../../../src/agent/refused-servers.ts";
import { originOf } from "../../../../src/formats/log/note.ts";
import { acceptLog, listRefusedServers } from "../../../../src/pins/latch/receipt.ts";
import type { nodeSystem } from "../../../../src/system/node.ts";
import { ask, makeHome, openService } from "../../../support/server/harness.ts";
import { machineAt, newWitness, ONE, signedBy, tampering } from "../../../support/server/witnessed-machine.ts";

test("enough witnesses, of those that are known, must have signed a log that has the release", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const pair = generateKeyPairSync("ed25519");
  const [a, b, twin] = [newWitness("example/a", pair), newWitness("example/b"), newWitness("example/twin", pair)];
  const stranger = newWitness("example/stranger");
  const own = newWitness(`${originOf(service.storeId)}/witness`);
  const two = { ...ONE, need: 2, keys: [a.verifier, b.verifier] };
  const one = { ...ONE, keys: [a.verifier, b.verifier] };
  assert.deepEqual(await at.witnessed(one), { size: 0, by: [], isEnough: false });
  await ask(service, at.latch);
  let size = await signedBy(service, [a]);
  assert.deepEqual(await at.witnessed(one), { size, by: [a.name], isEnough: true });
  assert.deepEqual(await at.witnessed(two), { size: 0, by: [], isEnough: false }, "no checkpoint has two");
  // Who is asked at all is the server's to say, and means nothing.
  size = await signedBy(service, [a, stranger]);
  assert.deepEqual(await at.witnessed(two), { size, by: [a.name], isEnough: false }, "a stranger");
  size = await signedBy(service, [own]);
  const withOwn = { ...ONE, need: 2, keys: [a.verifier, own.verifier] };
  assert.deepEqual(await at.witnessed(withOwn), { size, by: [a.name], isEnough: false }, "its own word");
  size = await signedBy(service, [twin]);
  const withTwin = { ...ONE, need: 2, keys: [a.verifier, twin.verifier] };
  assert.deepEqual(await at.witnessed(withTwin), { size, by: [a.name, twin.name], isEnough: false }, "one key, twice");
  size = await signedBy(service, [b]);
  assert.deepEqual(await at.witnessed(two), { size, by: [a.name, b.name], isEnough: true });
  await ask(service, at.latch, undefined, "192.0.2.66");
  assert.deepEqual(await at.witnessed(two), { size, by: [a.name, b.name], isEnough: false }, "the release came later");
});

test("a server that shows a machine another log than its witnesses is refused, with both in hand", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const witness = newWitness("example/a");
  await ask(service, at.latch);
  await signedBy(service, [witness]);
  await ask(service, at.latch);
  const change = tampering(at, service);
  const keys = [witness.verifier];
  change((cosigned) => ({ ...cosigned, note: cosigned.note.replace(/\n— example.*\n$/, "\n") }));
  assert.equal((await at.witnessed({ ...ONE, keys }))?.isEnough, false, "without the line");
  change((cosigned) => ({ ...cosigned, note: cosigned.note.replace(/\n\d+\n/, "\n3\n") }));
  await assert.rejects(at.witnessed({ ...ONE, keys }), { code: "receipt/not-proved" });
  assert.equal((await listRefusedServers(at.system, at.state)).size, 0);
  change((cosigned) => ({ ...cosigned, growth: cosigned.growth.slice(1) }));
  await assert.rejects(at.witnessed({ ...ONE, keys }), { code: "receipt/went-back" });
  assert.equal((await listRefusedServers(at.system, at.state)).get(at.server.thumbprint), "went-back");
});

test("missing signatures are told, and with refuse such a server is asked for keys no more until they are there", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const witness = newWitness("example/a");
  const keys = [witness.verifier];
  const marker = join(at.state, `log-${at.server.thumbprint}.not-cosigned`);
  await ask(service, at.latch);
  const told = await at.afterwards({ ...ONE, keys });
  assert.match(told, /^info: .* has its release as entry \d+, proved\nwarning: .*\[receipt\/not-cosigned\]/);
  assert.ok(!existsSync(marker), "it is told alone");
  await at.afterwards({ ...ONE, keys, missing: "refuse" });
  assert.ok(existsSync(marker));
  const asks = async () => {
    const system = await withoutRefused(at.system as never as typeof nodeSystem, at.state);
    return system.request({ method: "GET", url: `${at.server.url}/latch/x/adv`, timeoutMs: 1000, limitBytes: 10 });
  };
  await assert.rejects(asks(), { code: "receipt/not-cosigned" });
  await signedBy(service, [witness]);
  assert.match(
    await at.afterwards({ ...ONE, keys, missing: "refuse" }),
    /info: .* is signed up to entry \d+ by example\/a/,
  );
  assert.ok(!existsSync(marker), "they are there");
  at.goDown(true);
  await at.afterwards({ ...ONE, keys });
  assert.ok(!existsSync(marker));
  await at.afterwards({ ...ONE, keys, missing: "refuse" });
  assert.ok(existsSync(marker), "who does not show its log has not shown it signed");
  assert.equal(await acceptLog(at.system, at.state, at.server), true);
  assert.ok(!existsSync(marker));
  assert.equal(await acceptLog(at.system, at.state, at.server), false);
});

test("a key in the configuration that was changed is told as that", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const keys = [newWitness("example/a").verifier.replace("example/a", "example/b")];
  await assert.rejects(at.witnessed({ ...ONE, keys }), { code: "agent/bad-config" });
});
