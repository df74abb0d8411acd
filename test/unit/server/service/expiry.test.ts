/** Invites that expire, and clocks that do not go as they should. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { appendTimes, type LogTimes, latestSince, packTimes, unpackTimes } from "../../../../src/server/audit/times.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { uninvite } from "../../../../src/server/service/latches/invite.ts";
import {
  ask,
  enrolled,
  enrolWith,
  makeHome,
  makeInvite,
  newMachine,
  type OpenService,
  openService,
} from "../../../support/server/harness.ts";

const MAX_TIMES = 64;
const SET_BACK_MS = 60_000;

const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
const HOUR_MS = 3_600_000;
const LIFE_MS = 600_000;

const pages = fc.array(fc.array(fc.nat(200), { minLength: 1, maxLength: 8 }), { maxLength: 30, size: "max" });

test("the latest time since any entry is kept, whatever the clock did and however the entries came", () => {
  fc.assert(
    fc.property(pages, (batches) => {
      let kept: LogTimes = [];
      const all: { number: number; atMs: number }[] = [];
      for (const batch of batches) {
        const appended = batch.map((atMs, index) => ({ number: all.length + index, atMs }));
        all.push(...appended);
        kept = unpackTimes(packTimes(appendTimes(kept, appended)));
        for (let number = 0; number <= all.length; number++) {
          const since = all.filter((time) => time.number >= number).map(({ atMs }) => atMs);
          const latest = latestSince(kept, number);
          if (kept.length < MAX_TIMES) assert.equal(latest, Math.max(...since));
          else assert.ok(latest >= Math.max(...since));
        }
      }
    }),
  );
});

test("a clock that goes back with every entry fills no more than its room, and nothing is good for longer by that", () => {
  let kept: LogTimes = [];
  for (let number = 0; number < 1000; number++) kept = appendTimes(kept, [{ number, atMs: 10_000 - number }]);
  assert.equal(kept.length, MAX_TIMES);
  for (let number = 0; number < 1000; number++) assert.ok(latestSince(kept, number) >= 10_000 - number);
  assert.equal(latestSince(kept, 999), 10_000 - 999);
});

async function withNas(use: (service: OpenService, seen: () => Promise<unknown>) => Promise<void>): Promise<void> {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await use(service, () => ask(service, latch));
}

test("once the log has seen an invite's end, no clock brings the invite back, nor does a restart", async () => {
  using home = makeHome();
  let line = "";
  const startMs = Date.now();
  {
    await using service = await openService(home.folder);
    service.clock.nowMs = startMs;
    const { latch } = await enrolled(service, "nas");
    line = await makeInvite(service, "web", LIFE_MS);
    service.clock.nowMs += LIFE_MS;
    await ask(service, latch); // a release, logged at that time
    service.clock.nowMs = startMs;
    await ask(service, latch); // and one logged at the wrong time, which is the last now
    assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
  }
  for (let restart = 0; restart < 2; restart++) {
    await using service = await openService(home.folder);
    service.clock.nowMs = startMs + restart;
    assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
    await keepHouse(service); // makes it void
    assert.deepEqual(await service.store.transact((transaction) => transaction.openInvites()), []);
    const { audit } = service.store;
    await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  }
});

test("an invite that expires while the server is at rest is void by its own housekeeping, and stays so", () =>
  withNas(async (service) => {
    const line = await makeInvite(service, "web", LIFE_MS);
    service.clock.nowMs += LIFE_MS;
    await keepHouse(service);
    service.clock.nowMs -= LIFE_MS;
    assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
    assert.equal(typeof (await enrolWith(service, newMachine(), await makeInvite(service, "web"))), "object");
  }));

test("a clock that was far in the future once spoils only what was open then", () =>
  withNas(async (service, seen) => {
    const startMs = service.clock.nowMs;
    const before = await makeInvite(service, "before", LIFE_MS);
    service.clock.nowMs = startMs + 73 * 365 * 24 * HOUR_MS;
    await seen();
    await keepHouse(service);
    const then = await makeInvite(service, "then", LIFE_MS);
    service.clock.nowMs = startMs + 1000;
    assert.equal(await enrolWith(service, newMachine(), before), "invite/expired");
    assert.equal(await enrolWith(service, newMachine(), then), "invite/expired", "it would be good for 73 years");
    for (const name of ["after", "then"]) {
      const line = await makeInvite(service, name, LIFE_MS);
      service.clock.nowMs += LIFE_MS - 1;
      assert.equal(typeof (await enrolWith(service, newMachine(), line)), "object", name);
    }
    const late = await makeInvite(service, "late", LIFE_MS);
    service.clock.nowMs += LIFE_MS;
    assert.equal(await enrolWith(service, newMachine(), late), "invite/expired");
  }));

test("a small correction of the clock spoils nothing; while it is well behind, the invite waits", () =>
  withNas(async (service) => {
    const line = await makeInvite(service, "web", LIFE_MS);
    service.clock.nowMs -= SET_BACK_MS + 1;
    assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
    await keepHouse(service);
    service.clock.nowMs += 1;
    assert.equal(typeof (await enrolWith(service, newMachine(), line)), "object");
  }));

test("an invite that was taken back is good for nobody, and the log says who did it", () =>
  withNas(async (service) => {
    const line = await makeInvite(service, "web");
    assert.equal((await uninvite(service, { name: "web", by: 1000 })).name, "web");
    assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
    await assert.rejects(uninvite(service, { name: "web", by: 1000 }), { code: "invite/unknown" });
    await assert.rejects(uninvite(service, { name: "nas", by: 1000 }), { code: "invite/used" });
    const { audit } = service.store;
    await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
    const bodies = (await audit.entries(0)).map(({ body }) => String(body));
    assert.equal(bodies.filter((body) => /"by":1000,.*"kind":"invite-void","name":"web"/.test(body)).length, 1);
  }));

/** What a clock may do, and the server meanwhile. */
const step = fc.oneof(
  fc.record({ kind: fc.constant("clock" as const), byMs: fc.integer({ min: -2 * LIFE_MS, max: 2 * LIFE_MS }) }),
  fc.record({ kind: fc.constantFrom("release" as const, "house" as const, "restart" as const, "invite" as const) }),
  fc.record({ kind: fc.constant("try" as const), pick: fc.nat(100) }),
);

test("any clock: no invite is good once the log has seen its end since it was made; one that is made now is good now", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: full ? 40 : 15, size: "max" }), async (steps) => {
      using home = makeHome();
      let service = await openService(home.folder);
      try {
        const { latch } = await enrolled(service, "nas");
        const invites: { line: string; expiresMs: number; latestMs: number; isOpen: boolean }[] = [];
        const size = async () => service.store.transact(async (transaction) => (await transaction.tree()).size);
        const entries = await size();
        let logged = entries;
        for (const next of steps) {
          const { nowMs } = service.clock;
          if (next.kind === "clock") service.clock.nowMs += next.byMs;
          else if (next.kind === "release") await ask(service, latch);
          else if (next.kind === "house") await keepHouse(service);
          else if (next.kind === "restart") {
            await service[Symbol.asyncDispose]();
            service = await openService(home.folder);
            service.clock.nowMs = nowMs;
          } else if (next.kind === "invite") {
            const line = await makeInvite(service, `m${invites.length}`, LIFE_MS);
            invites.push({ line, expiresMs: nowMs + LIFE_MS, latestMs: nowMs, isOpen: true });
          } else if (next.kind === "try") {
            const invite = invites[next.pick % Math.max(1, invites.length)];
            if (invite === undefined) continue;
            const outcome = await enrolWith(service, newMachine(), invite.line);
            const isGood =
              Math.max(nowMs, invite.latestMs) < invite.expiresMs && nowMs >= invite.latestMs - SET_BACK_MS;
            if (!invite.isOpen) assert.equal(outcome, "invite/used");
            else if (isGood) {
              assert.equal(typeof outcome, "object");
              invite.isOpen = false;
            } else assert.equal(outcome, "invite/expired");
          }
          const grown = await size();
          if (grown > logged) for (const invite of invites) invite.latestMs = Math.max(invite.latestMs, nowMs);
          logged = grown;
        }
      } finally {
        await service[Symbol.asyncDispose]();
      }
    }),
    { numRuns: full ? 200 : 15, endOnFailure: !full },
  );
});
