import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readWitness } from "../../../../src/check/collect/witness.ts";
import type { WitnessConfig } from "../../../../src/formats/own/agent-config.ts";
import { listRefusedServers } from "../../../../src/pins/latch/receipt.ts";
import { ask, makeHome, openService } from "../../../support/server/harness.ts";
import { machineAt, newWitness, ONE, signedBy, tampering } from "../../../support/server/witnessed-machine.ts";

const HOST = "192.0.2.9:7654";

test("what witnesses have not signed is found, one that signs late is waited for, and nothing is kept", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const [a, b] = [newWitness("example/a"), newWitness("example/b")];
  const keys = [a.verifier, b.verifier];
  const { signal } = new AbortController();
  const look = async (witness: WitnessConfig | null, servers = [at.server]) => {
    const facts = await readWitness(at.system, witness, servers, { stateFolder: at.state, signal });
    return facts?.flaws.map(({ host, error, unsigned }) => [host, error.code, unsigned]) ?? null;
  };
  const files = () => readdirSync(at.state).map((name) => [name, readFileSync(join(at.state, name), "hex")]);
  const before = files();
  assert.equal(await look(null), null);
  assert.equal(await look({ ...ONE, keys }, []), null);
  await ask(service, at.latch);
  assert.deepEqual(await look({ ...ONE, keys }), [[HOST, "receipt/not-cosigned", [a.name, b.name]]]);
  await signedBy(service, [a]);
  assert.deepEqual(await look({ ...ONE, keys }), []);
  assert.deepEqual(await look({ ...ONE, need: 2, keys }), [[HOST, "receipt/not-cosigned", [a.name, b.name]]]);
  const pause = at.system.sleep;
  at.system.sleep = async () => void (await signedBy(service, [b]));
  assert.deepEqual(await look({ ...ONE, need: 2, keys }), []);
  at.system.sleep = pause;
  const changed = b.verifier.replace("example/b", "example/c");
  assert.deepEqual(await look({ ...ONE, keys: [changed] }), [[HOST, "agent/bad-config", []]]);
  at.goDown(true);
  assert.deepEqual(await look({ ...ONE, keys }), [], "that it does not answer is told of its bindings");
  assert.deepEqual(files(), before);
});

test("a log that went back is found, and the server is not refused for it yet", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const at = await machineAt(home.path, service);
  const witness = newWitness("example/a");
  await ask(service, at.latch);
  await signedBy(service, [witness]);
  await ask(service, at.latch);
  tampering(at, service)((cosigned) => ({ ...cosigned, growth: cosigned.growth.slice(1) }));
  const options = { stateFolder: at.state, signal: new AbortController().signal };
  const facts = await readWitness(at.system, { ...ONE, keys: [witness.verifier] }, [at.server], options);
  assert.deepEqual(
    facts?.flaws.map(({ host, error, unsigned }) => [host, error.code, unsigned]),
    [[HOST, "receipt/went-back", []]],
  );
  assert.equal((await listRefusedServers(at.system, at.state)).size, 0);
});
