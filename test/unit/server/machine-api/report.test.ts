import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { identityThumbprint } from "../../../../src/formats/own/enrolment.ts";
import { buildReport, parseReport, requireReportAnswer } from "../../../../src/formats/own/report.ts";
import { acceptReport } from "../../../../src/server/machine-api/report.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import type { Service } from "../../../../src/server/service/service.ts";
import { enrolled, makeHome, newMachine, openService, type TestMachine } from "../../../support/server/harness.ts";

const REASON = "volume/other" as const;

function reportOf(machine: TestMachine, volume: string): Buffer {
  return buildReport(machine.identity, { nonce: randomBytes(16), volume, reason: REASON });
}

const logged = (service: Service): Promise<number> =>
  service.store.transact(async (transaction) => (await transaction.tree()).size);

const send = (service: Service, machine: TestMachine, body: Buffer) =>
  acceptReport(service, machine.id, body, "192.0.2.9");

test("a machine's report is in the log once an hour, by the latch that it is about, and is confirmed", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const before = await logged(service);
  const report = reportOf(machine, "volume-1");
  const { status, body } = await send(service, machine, report);
  assert.equal(status, 200);
  requireReportAnswer(Buffer.from(body), { report, serverThumbprint: identityThumbprint(service.identity) });
  assert.equal(await logged(service), before + 1);
  const counted = service.refusals.count({ reason: REASON, subject: latch.latchId }, "192.0.2.9", service.clock.nowMs);
  assert.equal(counted, null, "it is counted under the latch");
  for (let count = 0; count < 20; count++) {
    assert.equal((await send(service, machine, count < 10 ? report : reportOf(machine, "volume-1"))).status, 200);
  }
  assert.equal(await logged(service), before + 1);
  for (let count = 0; count < 20; count++) await send(service, machine, reportOf(machine, `not-known-here-${count}`));
  assert.equal(await logged(service), before + 2, "whatever it calls its volume: once for the machine");
});

test("who is no machine here, or none any more, leaves nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  const stranger = newMachine();
  const before = await logged(service);
  assert.equal((await send(service, stranger, reportOf(stranger, "volume-1"))).status, 404);
  assert.equal((await send(service, machine, reportOf(stranger, "volume-1"))).status, 400, "in another's name");
  const forged = JSON.parse(String(reportOf(machine, "volume-1")));
  forged.payload = JSON.parse(String(reportOf(machine, "volume-2"))).payload;
  assert.equal((await send(service, machine, Buffer.from(JSON.stringify(forged)))).status, 400);
  assert.equal(await logged(service), before);
  await changeMachine(service, "nas", { change: "revoke", by: 0 });
  const revoked = await logged(service);
  assert.equal((await send(service, machine, reportOf(machine, "volume-1"))).status, 403);
  assert.equal(await logged(service), revoked);
});

test("what is no report is refused, whatever it is", () => {
  const machine = newMachine();
  const good = reportOf(machine, "volume-1");
  assert.deepEqual(parseReport(good), { machine: machine.id, volume: "volume-1", reason: REASON });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ flip;
      assert.throws(() => parseReport(bad), { code: "enrolment/malformed" });
    }),
  );
  for (const volume of ["", "../x", "x".repeat(65), "a b"]) {
    assert.throws(() => parseReport(reportOf(machine, volume)), { code: "enrolment/malformed" });
  }
});

test("an answer that another has signed, or that is about another report, confirms nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  const [one, other] = [reportOf(machine, "volume-1"), reportOf(machine, "volume-1")];
  const answer = Buffer.from((await send(service, machine, one)).body);
  const serverThumbprint = identityThumbprint(service.identity);
  requireReportAnswer(answer, { report: one, serverThumbprint });
  assert.throws(() => requireReportAnswer(answer, { report: other, serverThumbprint }), {
    code: "enrolment/untrusted",
  });
  assert.throws(() => requireReportAnswer(answer, { report: one, serverThumbprint: machine.id }), {
    code: "enrolment/untrusted",
  });
  assert.throws(() => requireReportAnswer(Buffer.from("<html>"), { report: one, serverThumbprint }), {
    code: "enrolment/malformed",
  });
});
