/** A server that has its log cosigned by another: two real services, and a line between them. */
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, NightlatchError } from "../../../../src/core/errors.ts";
import { COSIGNATURE, formatVerifier } from "../../../../src/formats/log/note.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { answerSubmission } from "../../../../src/server/machine-api/witness.ts";
import { lastCosigned } from "../../../../src/server/service/log/cosigned.ts";
import {
  askWitness,
  cosignLog,
  keyText,
  listWitnesses,
  removeWitness,
} from "../../../../src/server/service/log/witnesses.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import { WitnessAsker } from "../../../../src/server/witness/asker.ts";
import type { HttpRequest, HttpResponse } from "../../../../src/system/port.ts";
import { ask, enrolled, makeHome, type OpenService, openService } from "../../../support/server/harness.ts";

const BY = { by: 0 };
const NO_BODY = { contentType: "", body: Buffer.alloc(0) };

type Line = (request: HttpRequest) => Promise<HttpResponse>;

/** A line to a witness. */
const lineTo =
  (witness: () => OpenService): Line =>
  async ({ url, body }) => {
    assert.equal(url, "http://witness:7654/witness/add-checkpoint");
    const reply = await answerSubmission(witness(), Buffer.from(body as Uint8Array), "192.0.2.1");
    return { status: reply.status, contentType: "", body: Buffer.from(reply.body) };
  };

/** A server that asks when it is told to. */
function asking(service: OpenService, line: Line) {
  const reported: ErrorCode[] = [];
  const report = (error: unknown) => {
    assert.ok(error instanceof NightlatchError, String(error));
    reported.push(error.code);
  };
  // It does not wake by itself, and what it waits for is moved by hand.
  const quiet = { ...service, system: { ...service.system, sleep: () => new Promise<void>(() => {}) } };
  const asker = new WitnessAsker(quiet, { request: line, monotonicMs: () => service.clock.monotonicMs }, report);
  const again = async () => {
    service.clock.monotonicMs += 600_000;
    await asker.ask();
  };
  return { again, reported, asker };
}

async function pair(log: OpenService, witness: OpenService): Promise<void> {
  const keys = await listWitnesses(witness);
  await askWitness(log, { url: "http://witness:7654", verifier: keyText(keys.witness, "witness"), ...BY });
  await cosignLog(witness, { verifier: keyText((await listWitnesses(log)).log, "log"), ...BY });
}

const cosignedSize = async (service: OpenService) => {
  const found = await service.store.transact((transaction) => lastCosigned(transaction, service.identity, 1));
  return found?.checkpoint.size ?? 0;
};
const sizeOf = (service: OpenService) => service.store.transact(async (transaction) => (await transaction.tree()).size);

test("each growth is cosigned, and what was signed is held to the log by its verification", async () => {
  using home = makeHome();
  using elsewhere = makeHome();
  await using service = await openService(home.folder);
  await using witness = await openService(elsewhere.folder);
  await pair(service, witness);
  const { again, reported } = asking(
    service,
    lineTo(() => witness),
  );
  const { latch } = await enrolled(service, "nas");
  for (let round = 0; round < 24; round++) {
    await ask(service, latch, undefined, `192.0.2.${round}`);
    await again();
    assert.equal(await cosignedSize(service), await sizeOf(service));
    const before = await sizeOf(witness);
    await again();
    assert.equal(await sizeOf(witness), before, "nothing is signed twice, and nothing is logged of it");
  }
  assert.deepEqual(reported, []);
  const { audit } = service.store;
  const verified = await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  assert.deepEqual(
    verified.cosigned.map(({ size }) => size),
    [await sizeOf(service)],
  );
  assert.equal((await audit.cosignatures()).length, 16, "the last ones are kept");
  const [row] = await audit.cosignatures();
  assert.ok(row !== undefined);
  const forged = { ...row, cosignature: { ...row.cosignature, seconds: row.cosignature.seconds + 1 } };
  const lying = { ...audit, snapshot: await audit.snapshot(), cosignatures: async () => [forged] };
  await assert.rejects(verifyLog(lying, null), { code: "audit/broken" });
});

test("a witness that is down, slow, busy or false costs its signature alone; it is left alone for a while", async () => {
  using home = makeHome();
  using elsewhere = makeHome();
  await using service = await openService(home.folder);
  await using witness = await openService(elsewhere.folder);
  await pair(service, witness);
  const { latch } = await enrolled(service, "nas");
  let line: Line = lineTo(() => witness);
  let asked = 0;
  const { again, asker, reported } = asking(service, (request) => {
    asked++;
    return line(request);
  });
  const stranger = { status: 200, contentType: "", body: Buffer.from(`— a/witness ${"A".repeat(101)}=\n`) };
  const lines: readonly Line[] = [
    async () => {
      throw new NightlatchError("net/unreachable", "it is down");
    },
    async () => ({ status: 503, ...NO_BODY }),
    async () => ({ status: 404, ...NO_BODY }),
    async () => ({ status: 200, ...NO_BODY }),
    async () => stranger,
    async () => ({ status: 409, contentType: "", body: Buffer.from("x\n") }),
    async ({ body }) => {
      // It has seen one entry less each time.
      const old = Number(/^old (\d+)/.exec(String(Buffer.from(body as Uint8Array)))?.[1]);
      return { status: 409, contentType: "", body: Buffer.from(`${old === 1 ? 2 : 1}\n`) };
    },
  ];
  for (const [at, wrong] of lines.entries()) {
    line = wrong;
    await again();
    assert.equal(reported.splice(0).join(), "witness/refused", String(at));
    assert.equal(await cosignedSize(service), 0);
    const before = asked;
    await asker.ask();
    assert.equal(asked, before, "not again at once");
  }
  assert.equal(service.witnessFailures.size, 1);
  // One that never answers is in nobody's way.
  const { promise, resolve } = Promise.withResolvers<HttpResponse>();
  line = () => promise;
  const waits = again();
  assert.equal((await ask(service, latch)).kind, "released");
  await changeMachine(service, "nas", { ...BY, change: "lock" });
  resolve({ status: 503, ...NO_BODY });
  await waits;
  line = lineTo(() => witness);
  await again();
  assert.equal(await cosignedSize(service), await sizeOf(service));
  assert.equal(service.witnessFailures.size, 0);
});

test("a log whose store was put back is signed no more, until its witness begins anew", async () => {
  using home = makeHome();
  using elsewhere = makeHome();
  const [data, old] = ["data", "data.old"].map((name) => join(home.path, name)) as [string, string];
  await using witness = await openService(elsewhere.folder);
  {
    await using service = await openService(home.folder);
    await pair(service, witness);
    await enrolled(service, "nas");
  }
  cpSync(data, old, { recursive: true });
  {
    await using service = await openService(home.folder);
    await enrolled(service, "web");
    const { again, reported } = asking(
      service,
      lineTo(() => witness),
    );
    await again();
    assert.deepEqual([await cosignedSize(service), reported], [await sizeOf(service), []]);
  }
  rmSync(data, { recursive: true });
  cpSync(old, data, { recursive: true });
  await using service = await openService(home.folder, { acceptRollback: true });
  const { again, reported } = asking(
    service,
    lineTo(() => witness),
  );
  await again();
  assert.deepEqual(reported.splice(0), ["witness/inconsistent"], "shorter than it was");
  for (const name of ["a", "b", "c"]) await enrolled(service, name);
  await again();
  assert.deepEqual(reported.splice(0), ["witness/inconsistent"], "longer, and another");
  assert.equal(await cosignedSize(service), 0);
  const log = await listWitnesses(service);
  await removeWitness(witness, log.log.origin, BY);
  await cosignLog(witness, { verifier: keyText(log.log, "log"), ...BY });
  await again();
  assert.deepEqual([await cosignedSize(service), reported], [await sizeOf(service), []]);
});

test("of two witnesses at different sizes the last checkpoint is told that both have signed", async () => {
  using home = makeHome();
  const homes = [makeHome(), makeHome()];
  await using service = await openService(home.folder);
  const [one, other] = await Promise.all(homes.map(({ folder }) => openService(folder)));
  assert.ok(one !== undefined && other !== undefined);
  try {
    const own = keyText((await listWitnesses(service)).log, "log");
    for (const [at, witness] of [one, other].entries()) {
      const { origin, publicKey } = (await listWitnesses(witness)).witness;
      const verifier = formatVerifier(origin, publicKey, COSIGNATURE);
      await askWitness(service, { url: `http://witness-${at}:7654`, verifier, ...BY });
      await cosignLog(witness, { verifier: own, ...BY });
    }
    let isDown = false;
    const { again } = asking(service, async (request) => {
      const isOther = request.url.includes("witness-1");
      if (isOther && isDown) throw new NightlatchError("net/timeout", "it is slow");
      return lineTo(() => (isOther ? other : one))({ ...request, url: request.url.replace(/-\d/, "") });
    });
    await again();
    const both = await sizeOf(service);
    isDown = true;
    await enrolled(service, "nas");
    await again();
    const last = (count: number) =>
      service.store.transact((transaction) => lastCosigned(transaction, service.identity, count));
    assert.equal((await last(1))?.checkpoint.size, await sizeOf(service));
    assert.equal((await last(2))?.checkpoint.size, both);
    assert.equal((await last(2))?.note.match(/\/witness /g)?.length, 2);
    assert.equal(await last(3), null);
  } finally {
    await one[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    for (const { path } of homes) rmSync(path, { recursive: true, force: true });
  }
});
