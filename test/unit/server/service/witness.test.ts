/** A server as a witness: what it signs, what it refuses, and the power that goes meanwhile. */
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { findCosignature, isCosigned } from "../../../../src/formats/log/cosignature.ts";
import { rawKey, type SignedCheckpoint } from "../../../../src/formats/log/note.ts";
import { buildSubmission } from "../../../../src/formats/log/submission.ts";
import { WITNESS_COUNT } from "../../../../src/formats/own/agent-config.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { answerSubmission } from "../../../../src/server/machine-api/witness.ts";
import { assembleService } from "../../../../src/server/service/assemble.ts";
import { witness, witnessOf } from "../../../../src/server/service/log/witness.ts";
import {
  askWitness,
  cosignLog,
  keyText,
  listWitnesses,
  removeWitness,
} from "../../../../src/server/service/log/witnesses.ts";
import type { Service } from "../../../../src/server/service/service.ts";
import { openFolder } from "../../../../src/server/store/folder/folder.ts";
import type { Store, Transaction } from "../../../../src/server/store/port.ts";
import { openAuditSource } from "../../../../src/server/store/sqlite/audit-source.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { Chance } from "../../../simulation/chance.ts";
import { Crash, SimulatedDisk } from "../../../simulation/disk.ts";
import { enrolled, makeHome, type OpenService, openService, UID } from "../../../support/server/harness.ts";
import { TestLog } from "../../../support/server/test-log.ts";

const BY = { by: 0 };
const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

test("a log that has grown is signed; every other submission is answered as tlog-witness has it", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const log = new TestLog();
  log.grow(300);
  const stranger = new TestLog("nightlatch/stranger");
  stranger.grow(3);
  assert.equal(await cosignLog(service, { verifier: log.verifier, ...BY }), true);
  const send = (body: Uint8Array) => answerSubmission(service, Buffer.from(body), "192.0.2.1");
  const expectSigned = async (from: number, size: number) => {
    const reply = await send(log.submission(from, size));
    assert.equal(reply.status, 200);
    const found = findCosignature(String(reply.body), witnessOf(service));
    assert.ok(found !== null && isCosigned(log.checkpoint(size), found, witnessOf(service).publicKey));
    assert.equal(found.seconds, Math.floor(service.clock.nowMs / 1000));
  };
  await expectSigned(0, 5);
  await expectSigned(5, 5);
  await expectSigned(5, 7);
  await expectSigned(7, 300);
  const fork = log.forkAt(250);
  fork.grow(150, "another");
  const wrongProof = log.forkAt(300);
  wrongProof.grow(9);
  const note = wrongProof.note(305);
  const forgedRoot = log.forkAt(299);
  forgedRoot.grow(1, "another");
  for (const [what, body, status] of [
    ["nothing", Buffer.alloc(0), 400],
    ["larger than it is", log.submission(301, 300), 400],
    ["of a log that nobody named", stranger.submission(0), 404],
    ["signed by another key", Buffer.from(stranger.submission(0).toString().replaceAll("stranger", "log")), 403],
    ["not signed by it", Buffer.from(String(log.submission(300)).replace("\n300\n", "\n301\n")), 403],
    ["from a size that was not the last", log.submission(7, 300), 409],
    ["that went back", log.submission(7, 200), 409],
    ["that forked", fork.submission(300), 422],
    ["of the same size and another root", forgedRoot.submission(300), 422],
    ["with a proof too short", buildSubmission({ oldSize: 300, proof: [], note }), 422],
    ["with another proof", buildSubmission({ oldSize: 300, proof: wrongProof.proof(299, 305), note }), 422],
  ] as const) {
    const reply = await send(body);
    assert.equal(reply.status, status, what);
    if (status === 409) assert.deepEqual([reply.body, reply.headers[1]], ["300\n", "text/x.tlog.size"]);
  }
  assert.equal(
    (await send(wrongProof.submission(300, 305))).status,
    200,
    "nothing of it is in the way of what is right",
  );
  const refusals = (await service.store.audit.entries(0))
    .map(({ body }) => String(body))
    .filter((text) => /inconsistent/.test(text));
  assert.equal(refusals.length, 1, "once, and then counted");
  assert.match(refusals[0] ?? "", /"reason":"witness\/inconsistent","subject":"nightlatch\/log"/);
});

test("a log of nothing has the root of nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const log = new TestLog();
  await cosignLog(service, { verifier: log.verifier, ...BY });
  assert.equal((await witness(service, log.submission(0), "192.0.2.1")).kind, "cosigned");
  const other = log.forkAt(0);
  other.grow(1);
  const body = other.submission(0).toString().replace("\n1\n", "\n0\n");
  assert.equal((await witness(service, Buffer.from(body), "192.0.2.1")).kind, "unsigned");
});

test("of two that are asked for at once and do not agree one is signed", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const log = new TestLog();
  log.grow(9);
  await cosignLog(service, { verifier: log.verifier, ...BY });
  const fork = log.forkAt(3);
  fork.grow(9, "another");
  const told = await Promise.all([log, fork, log, fork].map((one) => witness(service, one.submission(0), "192.0.2.1")));
  assert.equal(told.filter(({ kind }) => kind === "cosigned").length, 1);
});

/** What breaks the promise, on purpose. */
type Planted = (service: Service) => Service;

/** A store that forgets to write what was signed. */
const forgetful: Planted = (service) => {
  const transact: Store["transact"] = (work) =>
    service.store.transact((transaction) =>
      work(
        new Proxy(transaction, {
          get: (target, name) =>
            name === "setWitnessedLog" ? notingNothing(target) : bound(target, name as keyof Transaction),
        }),
      ),
    );
  const store = new Proxy(service.store, {
    get: (target, name) => (name === "transact" ? transact : bound(target, name as keyof Store)),
  });
  return assembleService(service.system, {
    ...service,
    store,
    masterSource: "file",
    created: false,
    warnings: [],
  } as never);
};

function notingNothing(transaction: Transaction): Transaction["setWitnessedLog"] {
  return async (log) => (log.size > 0 ? undefined : transaction.setWitnessedLog(log));
}

function bound<T extends object>(target: T, name: keyof T): unknown {
  const value = target[name];
  return typeof value === "function" ? value.bind(target) : value;
}

/**
 * A witness whose power goes again and again while two logs of one key, which do not agree, are
 * shown to it. Gives what it has signed.
 */
async function signUnderCuts(seed: string, { lies = false, planted }: { lies?: boolean; planted?: Planted } = {}) {
  const chance = new Chance(seed);
  using disk = new SimulatedDisk(chance.named("disk"), () => {}, { losesCommits: lies });
  const logs = [new TestLog()];
  const [log] = logs as [TestLog];
  log.grow(4);
  for (const at of [2, 3]) {
    const fork = log.forkAt(at);
    fork.grow(30, `another ${at}`);
    logs.push(fork);
  }
  log.grow(30);
  const signed: SignedCheckpoint[] = [];
  disk.revive();
  let nowMs = 1_800_000_000_000;
  for (let life = 0; life < 5; life++) {
    if (life > 0) disk.revive();
    const system = disk.system(
      () => nowMs,
      (count) => chance.bytes(count),
    );
    let close: () => Promise<void> = async () => {};
    try {
      const opened = await openFolder(system, disk.folder, { uid: UID });
      close = () => opened.store.close();
      const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: nodeSystem.sleep, random: system.random };
      const service = (planted ?? ((it) => it))(assembleService(clock, opened));
      await cosignLog(service, { verifier: log.verifier, ...BY });
      disk.crashWithin(10, chance.pick(["kill", "power"]));
      for (let asked = 0; asked < 20; asked++) {
        nowMs += 1000;
        const one = chance.pick(logs);
        const size = Math.min(one.size, (signed.at(-1)?.size ?? 0) + chance.below(3));
        const first = await witness(service, one.submission(0, size), "192.0.2.1");
        const told =
          first.kind === "conflict" && first.size <= size
            ? await witness(service, one.submission(first.size, size), "192.0.2.1")
            : first;
        if (told.kind === "cosigned") signed.push(one.checkpoint(size));
      }
      disk.crashWithin(0, chance.pick(["kill", "power"]));
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
    await close().catch(() => {});
  }
  return { signed, logs };
}

/** Whether one log leads to all of them, in their order. */
function isOneLog({ signed, logs }: Awaited<ReturnType<typeof signUnderCuts>>): boolean {
  const isGrowing = signed.every(({ size }, at) => at === 0 || size >= (signed[at - 1]?.size ?? 0));
  return (
    isGrowing &&
    logs.some((log) => signed.every(({ size, root }) => size <= log.size && log.checkpoint(size).root.equals(root)))
  );
}

test("wherever the power goes, nothing is signed that what was signed before does not lead to", async () => {
  let count = 0;
  for (let seed = 0; seed < (full ? 300 : 5); seed++) {
    const run = await signUnderCuts(`witness ${seed}`);
    assert.ok(isOneLog(run), `seed ${seed}: ${run.signed.map(({ size }) => size).join(" ")}`);
    count += run.signed.length;
  }
  assert.ok(count > 15, `only ${count} were signed`);
});

test("it would be found: a disk that loses what it said it had, and a witness that notes nothing", async () => {
  for (const how of [{ lies: true }, { planted: forgetful }]) {
    let found = false;
    for (let seed = 0; seed < 40 && !found; seed++) found = !isOneLog(await signUnderCuts(`planted ${seed}`, how));
    assert.ok(found, Object.keys(how).join());
  }
});

test("an older copy that is taken into use signs with another key", async () => {
  using home = makeHome();
  const copies = ["data", "data.id"].map((name) => join(home.path, name));
  const log = new TestLog();
  log.grow(20);
  let before: string;
  {
    await using service = await openService(home.folder);
    before = keyText(witnessOf(service), "witness");
    await cosignLog(service, { verifier: log.verifier, ...BY });
  }
  for (const path of copies) cpSync(path, `${path}.old`, { recursive: true });
  {
    await using service = await openService(home.folder);
    assert.equal(keyText(witnessOf(service), "witness"), before, "a start keeps it");
    assert.equal((await witness(service, log.submission(0), "192.0.2.1")).kind, "cosigned");
    await enrolled(service, "nas");
  }
  const [data = ""] = copies;
  rmSync(data, { recursive: true });
  cpSync(`${data}.old`, data, { recursive: true });
  await using service = await openService(home.folder, { acceptRollback: true });
  const after = witnessOf(service);
  assert.notEqual(keyText(after, "witness"), before);
  assert.ok(keyText(after, "witness").startsWith(`${after.origin}+`));
  const fork = log.forkAt(3);
  fork.grow(20, "another");
  const told = await witness(service, fork.submission(0), "192.0.2.1");
  assert.ok(told.kind === "cosigned" && findCosignature(told.line, after) !== null, "the older one signs nothing");
});

test("a table of witnesses that is changed beside the log is found, and which row it is", async () => {
  using home = makeHome();
  const [log, fork] = [new TestLog(), new TestLog()];
  log.grow(9);
  fork.grow(9, "another");
  const other = new TestLog("nightlatch/other");
  {
    await using service = await openService(home.folder);
    await using asked = await openService(join(home.path, "asked"));
    const verifier = keyText(witnessOf(asked), "witness");
    for (const url of ["http://192.0.2.5:7654", "http://192.0.2.6:7654"])
      await askWitness(service, { url, verifier, ...BY });
    await cosignLog(service, { verifier: log.verifier, ...BY });
    await cosignLog(service, { verifier: other.verifier, ...BY });
    assert.equal((await answerSubmission(service, Buffer.from(log.submission(0, 7)), "192.0.2.1")).status, 200);
    await removeWitness(service, "nightlatch/other", BY);
    await verify(service);
  }
  const path = join(home.folder, "store.sqlite");
  const key = rawKey(other.publicKey).toString("hex");
  const [root, note] = [log.checkpoint(9).root.toString("hex"), fork.note(9)];
  for (const [change, message] of [
    ["update witness set url = 'http://192.0.2.9'", /^the url of witness nightlatch\S+ is http:\/\/192.0.2.9 in/],
    [`update witness set key = x'${key}'`, /^the key of witness /],
    ["delete from witness", /^the witness nightlatch\S+ is in the log, but the store has lost it$/],
    [
      `insert into witness values ('example/a', x'${key}', 'http://192.0.2.5:7654', 0)`,
      /^the witness example\/a is in the store, but the log does not know it$/,
    ],
    [`update witnessed_log set key = x'${key}'`, /^the key of witnessed log /],
    ["delete from witnessed_log", /^the witnessed log \S+ is in the log, but/],
    [
      "update witnessed_log set size = 9",
      /^the signed of witnessed log \S+ is damaged in the store, whole by the log$/,
    ],
    [`update witnessed_log set size = 9, root = x'${root}'`, /^the signed of witnessed log /],
    [`update witnessed_log set note = '${note}'`, /^the signed of witnessed log /],
    ["update witnessed_log set cosigned_ms = null", /^the signed of witnessed log /],
    ["update witnessed_log set origin = 'nightlatch/other'", /^the witnessed log nightlatch\/other is in the store/],
  ] as const) {
    const copy = join(home.path, "copy.sqlite");
    cpSync(path, copy);
    const database = new Database(copy);
    database.exec(change);
    database.close();
    using source = openAuditSource(copy);
    await assert.rejects(verifyLog(source, null), { code: "audit/broken", message }, change);
  }
});

async function verify(service: OpenService): Promise<void> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
}

test("who is asked and what is cosigned is said by operators, noted in the log, and bounded", async () => {
  using home = makeHome();
  using elsewhere = makeHome();
  await using service = await openService(home.folder);
  await using other = await openService(elsewhere.folder);
  const fails = (code: string) => (error: unknown) => error instanceof NightlatchError && error.code === code;
  const theirs = await listWitnesses(other);
  const wanted = { url: "http://192.0.2.5:7654", verifier: keyText(theirs.witness, "witness"), ...BY };
  const itsLog = { verifier: keyText(theirs.log, "log"), ...BY };
  assert.deepEqual([await askWitness(service, wanted), await askWitness(service, wanted)], [true, false]);
  assert.deepEqual([await cosignLog(service, itsLog), await cosignLog(service, itsLog)], [true, false]);
  const own = await listWitnesses(service);
  for (const verifier of [itsLog.verifier, "x", wanted.verifier.replace(/.$/, "A"), keyText(own.witness, "witness")])
    await assert.rejects(askWitness(service, { ...wanted, verifier }), fails("witness/bad-key"));
  await assert.rejects(askWitness(service, { ...wanted, url: "192.0.2.5" }), fails("witness/bad-key"));
  await assert.rejects(cosignLog(service, { ...BY, verifier: keyText(own.log, "log") }), fails("witness/bad-key"));
  await assert.rejects(cosignLog(service, { ...BY, verifier: wanted.verifier }), fails("witness/bad-key"));
  const usurper = new TestLog(own.log.origin.replace(/^.*$/, theirs.log.origin));
  await assert.rejects(cosignLog(service, { ...BY, verifier: usurper.verifier }), fails("witness/bad-key"));
  for (let count = 1; count < WITNESS_COUNT; count++) {
    const key = { origin: `witness.example/${count}`, publicKey: createPublicKey(other.witnessKey) };
    await askWitness(service, { ...wanted, verifier: keyText(key, "witness") });
  }
  const oneMore = { origin: "witness.example/more", publicKey: createPublicKey(other.witnessKey) };
  await assert.rejects(
    askWitness(service, { ...wanted, verifier: keyText(oneMore, "witness") }),
    fails("witness/too-many"),
  );
  const listed = await listWitnesses(service);
  assert.equal(listed.witnesses.length, WITNESS_COUNT);
  assert.ok(listed.logs[0] !== undefined && rawKey(listed.logs[0].publicKey).equals(rawKey(theirs.log.publicKey)));
  assert.equal(await removeWitness(service, theirs.log.origin, BY), "log");
  assert.equal(await removeWitness(service, theirs.witness.origin, BY), "witness");
  await assert.rejects(removeWitness(service, theirs.witness.origin, BY), fails("witness/unknown"));
  const { audit } = service.store;
  const kinds = (await audit.entries(0)).map(({ body }) => (JSON.parse(String(body)) as { kind: string }).kind);
  assert.deepEqual(
    [...new Set(kinds)],
    ["store", "witness-add", "witnessed-add", "witnessed-remove", "witness-remove"],
  );
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
});
