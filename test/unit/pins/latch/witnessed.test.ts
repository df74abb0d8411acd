/** What a machine makes of what witnesses have signed of a server's log. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { askAll } from "../../../../src/agent/receipts.ts";
import { withoutRefused } from "../../../../src/agent/refused-servers.ts";
import { cosign } from "../../../../src/formats/log/cosignature.ts";
import { COSIGNATURE, formatVerifier, originOf } from "../../../../src/formats/log/note.ts";
import type { WitnessConfig } from "../../../../src/formats/own/agent-config.ts";
import { identityThumbprint } from "../../../../src/formats/own/enrolment.ts";
import { buildReceiptAnswer, parseReceiptRequest } from "../../../../src/formats/own/receipt.ts";
import { acceptLog, askReceipt, listRefusedServers } from "../../../../src/pins/latch/receipt.ts";
import { answerReceipt } from "../../../../src/server/machine-api/receipt.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { ask, enrolled, makeHome, type OpenService, openService } from "../../../support/server/harness.ts";

interface TestWitness {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly verifier: string;
}

function newWitness(name: string, pair = generateKeyPairSync("ed25519")): TestWitness {
  return { name, privateKey: pair.privateKey, verifier: formatVerifier(name, pair.publicKey, COSIGNATURE) };
}

/** Has witnesses sign the log as it is now. */
async function signedBy(service: OpenService, witnesses: readonly TestWitness[]): Promise<number> {
  return service.store.transact(async (transaction) => {
    const checkpoint = await transaction.checkpoint();
    assert.ok(checkpoint !== null);
    for (const { name, privateKey } of witnesses) {
      const url = "http://192.0.2.5:7654";
      await transaction.setWitness({ name, publicKey: createPublicKey(privateKey), url, seen: checkpoint.size });
      await transaction.insertCosignature(checkpoint.size, name, cosign(checkpoint, 1_800_000_000, privateKey));
    }
    return checkpoint.size;
  });
}

const ONE = { need: 1, missing: "tell" } as const;

/** A machine's folder, with its record of a server and a volume, and a line to that server. */
async function machineAt(home: string, service: OpenService) {
  const { machine, latch } = await enrolled(service, "nas");
  const state = join(home, "state");
  mkdirSync(state);
  writeFileSync(join(state, "identity.key"), machine.identity.export({ format: "der", type: "pkcs8" }));
  const thumbprint = identityThumbprint(service.identity);
  const url = "http://192.0.2.9:7654";
  writeFileSync(
    join(state, `server-${thumbprint}.json`),
    JSON.stringify({ url, thp: thumbprint, machine: machine.id, name: "nas" }),
  );
  const server = { url, thumbprint, machine: machine.id, name: "nas" };
  let isDown = false;
  let slept = 0;
  const system = {
    ...nodeSystem,
    sleep: async (delayMs: number) => {
      slept += delayMs;
    },
    monotonicMs: () => slept,
    request: async ({ url: asked, body }: { url: string; body?: Uint8Array | (() => Uint8Array) }) => {
      if (isDown) return { status: 500, contentType: "", body: Buffer.alloc(0) as Buffer };
      const id = /\/machine\/(.*)\/receipt$/.exec(asked)?.[1] ?? "";
      const reply = await answerReceipt(service, id, Buffer.from(body as Uint8Array));
      return { status: reply.status, contentType: "", body: Buffer.from(reply.body) as Buffer };
    },
  };
  const witnessed = async (witness: WitnessConfig) => {
    const proved = await askReceipt(system, state, server, latch.latchId, { timeoutMs: 1000, witness });
    return proved?.witnessed ?? null;
  };
  const record = { volume: "volume-1", latches: [{ url: `${url}/latch/${latch.latchId}`, server: thumbprint }] };
  const afterwards = async (witness: WitnessConfig) => {
    const lines: string[] = [];
    const log = (level: string, text: string) => lines.push(`${level}: ${text}`);
    const { signal } = new AbortController();
    await askAll(system, record as never, { stateFolder: state, signal, log, timeoutMs: 1000, witness });
    return lines.join("\n");
  };
  return {
    latch,
    state,
    server,
    system,
    witnessed,
    afterwards,
    goDown: (down: boolean) => {
      isDown = down;
    },
  };
}

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
  const honest = at.system.request;
  const change = (how: (cosigned: { note: string; growth: string[] }) => object | null) => {
    at.system.request = async (request) => {
      const reply = await honest(request);
      const { payload } = JSON.parse(String(reply.body)) as { payload: string };
      const said = JSON.parse(String(Buffer.from(payload, "base64url")));
      const bytes = (text: string) => Buffer.from(text, "base64url");
      const entry = (json: { number: number; body: string; proof: string[] } | null) =>
        json === null ? null : { number: json.number, body: bytes(json.body), proof: json.proof.map(bytes) };
      const changed = how(said.cosigned) as { note: string; growth: string[] } | null;
      const body = Buffer.from(request.body as Uint8Array);
      assert.equal(parseReceiptRequest(body).cosigned, 1);
      const answer = {
        note: said.note,
        release: entry(said.release),
        growth: said.growth?.map(bytes) ?? null,
        rollback: entry(said.rollback),
        cosigned: changed === null ? null : { note: changed.note, growth: changed.growth.map(bytes) },
      };
      return { ...reply, body: buildReceiptAnswer(service.identity, body, answer) };
    };
  };
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
