/** Receipts: what the real service answers, and what a machine makes of it and keeps. */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ErrorCode } from "../../../../src/core/errors.ts";
import { identityThumbprint } from "../../../../src/formats/own/enrolment.ts";
import { buildReceiptAnswer, parseReceiptRequest, type ReceiptAnswer } from "../../../../src/formats/own/receipt.ts";
import { acceptLog, askReceipt, listRefusedServers, type ReceiptPower } from "../../../../src/pins/latch/receipt.ts";
import { keepNodes } from "../../../../src/server/audit/nodes.ts";
import { answerReceipt } from "../../../../src/server/machine-api/receipt.ts";
import { giveReceipt } from "../../../../src/server/service/log/receipt.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import {
  ask,
  enrolled,
  makeHome,
  type OpenService,
  openService,
  type TestLatch,
  type TestMachine,
} from "../../../support/server/harness.ts";

/** Changes an answer of the server's before it is signed. */
type Meddle = (answer: ReceiptAnswer) => ReceiptAnswer;

/** A machine's folder, and a line to a server that may be another one from time to time. */
function machineAt(home: string, machine: TestMachine, service: () => OpenService) {
  const state = join(home, "state");
  mkdirSync(state);
  writeFileSync(join(state, "identity.key"), machine.identity.export({ format: "der", type: "pkcs8" }));
  const server = {
    url: "http://192.0.2.9:7654",
    thumbprint: identityThumbprint(service().identity),
    machine: machine.id,
    name: "nas",
  };
  let meddle: Meddle | null = null;
  const system: ReceiptPower = {
    ...nodeSystem,
    request: async ({ url, body }) => {
      const id = /\/machine\/(.*)\/receipt$/.exec(url)?.[1] ?? "";
      const bytes = Buffer.from(body as Uint8Array);
      const reply =
        meddle === null ? await answerReceipt(service(), id, bytes) : await meddled(service(), bytes, meddle);
      return { status: reply.status, contentType: "application/jose+json", body: Buffer.from(reply.body ?? "") };
    },
  };
  return {
    state,
    server,
    system,
    note: join(state, `log-${server.thumbprint}.note`),
    meddleWith: (how: Meddle | null) => {
      meddle = how;
    },
    ask: (latch: TestLatch) => askReceipt(system, state, server, latch.latchId, { timeoutMs: 1000, witness: null }),
  };
}

/** An answer with the server's own signature that a server of ours would not give. */
async function meddled(service: OpenService, body: Buffer, meddle: Meddle) {
  const outcome = await giveReceipt(service, { request: parseReceiptRequest(body), body });
  assert.ok("answer" in outcome);
  const { payload } = JSON.parse(String(outcome.answer)) as { payload: string };
  const said = JSON.parse(String(Buffer.from(payload, "base64url")));
  const bytes = (text: string) => Buffer.from(text, "base64url");
  const entry = (json: { number: number; body: string; proof: string[] } | null) =>
    json === null ? null : { number: json.number, body: bytes(json.body), proof: json.proof.map(bytes) };
  const answer = {
    note: said.note,
    release: entry(said.release),
    growth: said.growth?.map(bytes) ?? null,
    rollback: entry(said.rollback),
    cosigned:
      said.cosigned == null ? said.cosigned : { note: said.cosigned.note, growth: said.cosigned.growth.map(bytes) },
  };
  return { status: 200, body: buildReceiptAnswer(service.identity, body, meddle(answer)) };
}

const fails = (code: ErrorCode) => ({ code });

test("a machine is told of its last release with proof, and that the log has grown", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const { ask: askServer, note } = machineAt(home.path, machine, () => service);
  const none = await askServer(latch);
  assert.deepEqual([none?.receipt, none?.growth], [null, "first"]);
  let before = readFileSync(note, "utf8");
  // Past the first subtree that is kept, and a flood, whose releases have no entries of their own.
  for (const count of [1, 40, 130]) {
    for (let at = 0; at < count; at++) await ask(service, latch, undefined, `192.0.2.${at % 200}`);
    const proved = await askServer(latch);
    assert.ok(proved?.receipt != null);
    assert.equal(proved.growth, "grown");
    if (count <= 40) assert.equal(proved.receipt.from, `192.0.2.${count - 1}`);
    const kept = readFileSync(note, "utf8");
    assert.notEqual(kept, before);
    assert.equal(kept, proved.note);
    before = kept;
  }
});

test("proofs over subtrees that are kept, of every size around their ends", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const { ask: askServer } = machineAt(home.path, machine, () => service);
  const other = await enrolled(service, "web");
  for (let round = 0; round < 12; round++) {
    await service.queue.submit(async () => {
      const released = { machine: other.machine.id, latch: other.latch.latchId, epoch: 1, from: "192.0.2.8" };
      const count = [1, 7, 254, 250, 3, 256, 1, 500, 31, 255, 2, 64][round] ?? 1;
      const entries = Array.from(
        { length: count },
        () => ({ kind: "release", at: service.clock.nowMs, ...released }) as const,
      );
      return { outcome: null, entries };
    });
    await ask(service, latch);
    const proved = await askServer(latch);
    assert.equal(proved?.growth, round === 0 ? "first" : "grown");
    assert.ok((proved?.receipt?.number ?? 0) > 0);
  }
  const [count, size] = await service.store.transact(async (transaction) => [
    await transaction.nodeCount(8),
    (await transaction.tree()).size,
  ]);
  assert.equal(count, Math.floor((size ?? 0) / 256));
  assert.equal(await service.store.transact((transaction) => keepNodes(transaction, 0)), true, "all are kept");
});

test("a log that went back is refused, until a person accepts it", async () => {
  using home = makeHome();
  const copies = ["data", "data.id"].map((name) => [join(home.path, name), join(home.path, `${name}.old`)] as const);
  let service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const { ask: askServer, ...at } = machineAt(home.path, machine, () => service);
  await service[Symbol.asyncDispose]();
  // Whoever puts back the folder and what is beside it is found by no start.
  for (const [path, copy] of copies) if (existsSync(path)) cpSync(path, copy, { recursive: true });
  service = await openService(home.folder);
  await ask(service, latch);
  await askServer(latch);
  const kept = readFileSync(at.note, "utf8");
  await service[Symbol.asyncDispose]();
  for (const [path, copy] of copies) {
    rmSync(path, { recursive: true, force: true });
    if (existsSync(copy)) cpSync(copy, path, { recursive: true });
  }
  service = await openService(home.folder);
  try {
    await assert.rejects(askServer(latch), fails("receipt/went-back"));
    for (let releases = 0; releases < 3; releases++) await ask(service, latch, undefined, "192.0.2.66");
    await assert.rejects(askServer(latch), fails("receipt/went-back"), "longer than it was, and not the same");
    assert.equal(readFileSync(at.note, "utf8"), kept, "what it is held to stays");
    assert.deepEqual([...(await listRefusedServers(at.system, at.state)).keys()], [at.server.thumbprint]);
    assert.equal(await acceptLog(at.system, at.state, at.server), true);
    assert.deepEqual([...(await listRefusedServers(at.system, at.state)).keys()], []);
    assert.equal((await askServer(latch))?.growth, "grown");
    assert.equal(await acceptLog(at.system, at.state, at.server), false);
  } finally {
    await service[Symbol.asyncDispose]();
  }
});

test("an older copy that was taken into use openly is told, and not refused", async () => {
  using home = makeHome();
  const copy = join(home.path, "old");
  let service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const { ask: askServer } = machineAt(home.path, machine, () => service);
  await service[Symbol.asyncDispose]();
  cpSync(home.folder, copy, { recursive: true });
  service = await openService(home.folder);
  await ask(service, latch);
  await askServer(latch);
  await service.store.recordProgress();
  await service[Symbol.asyncDispose]();
  rmSync(home.folder, { recursive: true });
  cpSync(copy, home.folder, { recursive: true });
  service = await openService(home.folder, { acceptRollback: true });
  try {
    assert.equal((await askServer(latch))?.growth, "rolled-back");
    assert.equal((await askServer(latch))?.growth, "grown");
  } finally {
    await service[Symbol.asyncDispose]();
  }
});

test("who may not ask is refused", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const other = await enrolled(service, "web");
  const { ask: askServer } = machineAt(home.path, machine, () => service);
  await ask(service, other.latch);
  assert.equal((await askServer(other.latch))?.receipt, null, "another machine's latch");
  service.paces.set(`receipt ${machine.id}`, { emptyAtMs: service.clock.nowMs + 120 * 10_000 });
  await assert.rejects(askServer(latch), fails("pin/busy"));
  service.clock.nowMs += 3_600_000;
  await askServer(latch);
  await changeMachine(service, "nas", { change: "revoke", by: 0 });
  await assert.rejects(askServer(latch), fails("enrolment/refused"));
});

test("what proves nothing is told as that", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const other = await enrolled(service, "web");
  const { ask: askServer, note, meddleWith } = machineAt(home.path, machine, () => service);
  await ask(service, other.latch);
  await ask(service, latch, undefined, "192.0.2.66");
  await askServer(latch);
  const kept = readFileSync(note, "utf8");
  await ask(service, latch);
  const hidden = (body: Buffer) => Buffer.from(String(body).replace("192.0.2.7", "192.0.2.6"));
  const cases: readonly [string, Meddle, ErrorCode][] = [
    [
      "another address",
      (a) => ({ ...a, release: a.release && { ...a.release, body: hidden(a.release.body) } }),
      "receipt/not-proved",
    ],
    [
      "another place",
      (a) => ({ ...a, release: a.release && { ...a.release, number: a.release.number - 1 } }),
      "receipt/not-proved",
    ],
    [
      "a cut proof",
      (a) => ({ ...a, release: a.release && { ...a.release, proof: a.release.proof.slice(1) } }),
      "receipt/not-proved",
    ],
    [
      "a note of a tree that was not signed",
      (a) => ({ ...a, note: a.note.replace(/\n\d+\n/, "\n99\n") }),
      "receipt/not-proved",
    ],
    ["no note", (a) => ({ ...a, note: "" }), "enrolment/malformed"],
    ["no proof of growth", (a) => ({ ...a, growth: null }), "receipt/went-back"],
    ["a proof of growth that is none", (a) => ({ ...a, growth: [] }), "receipt/went-back"],
    ["an older copy that is another entry", (a) => ({ ...a, growth: null, rollback: a.release }), "receipt/went-back"],
  ];
  for (const [what, meddle, code] of cases) {
    meddleWith(meddle);
    await assert.rejects(askServer(latch), fails(code), what);
    assert.equal(readFileSync(note, "utf8"), kept, what);
  }
  meddleWith(null);
  assert.equal((await askServer(latch))?.receipt?.from, "192.0.2.7");
});

test("a note that was damaged is told, and not taken for none", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const { ask: askServer, note } = machineAt(home.path, machine, () => service);
  await askServer(latch);
  const whole = readFileSync(note, "utf8");
  for (const text of ["", "x", whole.slice(1), whole.replace(/\n\d+\n/, "\n\n"), "x".repeat(5000)]) {
    writeFileSync(note, text);
    await assert.rejects(askServer(latch), fails("machine/bad-state"), JSON.stringify(text.slice(0, 20)));
  }
});

test("a server that knows no receipts is let be, unless it has given one before", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const at = machineAt(home.path, machine, () => service);
  const without: ReceiptPower = {
    ...at.system,
    request: async () => ({ status: 404, contentType: "text/plain", body: Buffer.alloc(0) }),
  };
  const ask404 = () => askReceipt(without, at.state, at.server, latch.latchId, { timeoutMs: 1000, witness: null });
  assert.equal(await ask404(), null);
  await at.ask(latch);
  await assert.rejects(ask404(), fails("enrolment/refused"));
});
