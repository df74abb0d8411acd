import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { recover } from "../../../../src/server/machine-api/tang.ts";
import { grantLease, setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { changeLatch, changeMachine } from "../../../../src/server/service/policies/states.ts";
import type { Operation } from "../../../../src/server/service/queue.ts";
import type { Service } from "../../../../src/server/service/service.ts";
import {
  addLatchTo,
  announce,
  ask,
  enrolled,
  leaseRequest,
  makeHome,
  newMachine,
  type OpenService,
  openService,
  recoveryBody,
  sendLease,
  type TestLatch,
} from "../../../support/server/harness.ts";
import { beat, nextBeat, sendBeat, sessionOf } from "../../../support/server/heartbeats.ts";

const MINUTE_MS = 60_000;
const BODY = recoveryBody();

async function under(service: Service, name = "nas") {
  const made = await enrolled(service, name);
  await setPolicy(service, name, { policy: "lease", by: 0 });
  return made;
}

const grant = (service: Service, graceMs = MINUTE_MS) =>
  grantLease(service, "nas", { lifetimeMs: 15 * MINUTE_MS, graceMs, by: 0 });

async function told(service: Service, latch: TestLatch, from?: string): Promise<string> {
  const outcome = await ask(service, latch, BODY, from);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

async function verify(service: OpenService): Promise<string[]> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  return (await audit.entries(0)).map(({ body }) => String(body));
}

test("a lease opens each latch once, and again within the grace to the same address", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  const second = (await addLatchTo(service, machine)) as TestLatch;
  assert.equal(await told(service, latch), "policy/no-lease");
  await grant(service);
  assert.equal(await told(service, latch), "released");
  assert.equal(await told(service, latch), "released");
  assert.equal(await told(service, latch, "192.0.2.66"), "policy/other-address");
  service.clock.nowMs += MINUTE_MS;
  assert.equal(await told(service, latch), "policy/lease-used");
  assert.equal(await told(service, second, "192.0.2.66"), "released");
  service.clock.nowMs += 15 * MINUTE_MS;
  assert.equal(await told(service, second, "192.0.2.66"), "policy/lease-over");
  await keepHouse(service);
  assert.equal(await told(service, second, "192.0.2.66"), "policy/no-lease");
  const log = await verify(service);
  assert.equal(log.filter((body) => /"kind":"release",.*"lease":1/.test(body)).length, 2);
  assert.equal(log.filter((body) => body.includes('"kind":"lease-end"')).length, 1);
});

test("a grace of 0 is exactly one release", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  await grant(service, 0);
  // Both arrive together, and share a commit.
  const both = await Promise.all([told(service, latch), told(service, latch)]);
  assert.deepEqual(both, ["released", "policy/lease-used"]);
  assert.equal(await told(service, latch), "policy/lease-used");
});

test("a stranger is answered as by a machine that is locked, to the byte", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  const other = await enrolled(service, "locked");
  await changeMachine(service, "locked", { by: 0, change: "lock" });
  const answer = ({ latchId, kid }: TestLatch) => recover(service, { latchId, kid }, BODY, "192.0.2.66");
  const locked = await answer(other.latch);
  assert.equal(locked.status, 403);
  assert.deepEqual(await answer(latch), locked);
  await grant(service, 0);
  await told(service, latch);
  assert.deepEqual(await answer(latch), locked);
  service.clock.nowMs += 16 * MINUTE_MS;
  assert.deepEqual(await answer(latch), locked);
});

test("locking ends a lease for good, and so does another policy", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  await grant(service);
  await changeMachine(service, "nas", { by: 0, change: "lock" });
  await assert.rejects(grant(service), { code: "machine/locked" });
  assert.equal(await announce(service, machine, { seconds: 600 }), "machine/locked");
  await changeMachine(service, "nas", { by: 0, change: "unlock" });
  assert.equal(await told(service, latch), "policy/no-lease");
  await grant(service);
  await setPolicy(service, "nas", { policy: "always", by: 0 });
  assert.equal(await told(service, latch), "released");
  await assert.rejects(grant(service), { code: "lease/not-needed" });
  await setPolicy(service, "nas", { policy: "lease", by: 0 });
  assert.equal(await told(service, latch), "policy/no-lease");
  await verify(service);
});

test("what was released in a lease stays so after a crash, and after a clock that goes back", async () => {
  using home = makeHome();
  const crashed = join(home.path, "crashed");
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  await grant(service, 0);
  assert.equal(await told(service, latch), "released");
  // As after kill -9 in the moment in which the answer has left.
  mkdirSync(crashed, { mode: 0o700 });
  for (const name of ["store.sqlite", "store.sqlite-wal", "master.key", "cells"]) {
    if (existsSync(join(home.folder, name))) copyFileSync(join(home.folder, name), join(crashed, name));
  }
  copyFileSync(`${home.folder}.id`, `${crashed}.id`);
  await using again = await openService(crashed);
  again.clock.nowMs = service.clock.nowMs;
  assert.equal(await told(again, latch), "policy/lease-used");
  again.clock.nowMs -= MINUTE_MS / 2;
  assert.equal(await told(again, latch), "policy/lease-used");
  again.clock.nowMs -= 365 * 86_400_000;
  assert.equal(await told(again, latch), "policy/lease-over");
  await verify(again);
});

test("a first release that is not noted with its receipt shows when the log is verified", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  await grant(service, 0);
  const deaf: Service = {
    ...service,
    queue: Object.assign(Object.create(service.queue) as Service["queue"], {
      submitRelease: <T>(run: Operation<T>) =>
        service.queue.submitRelease((transaction) =>
          run(
            new Proxy(transaction, {
              get: (target, name) => {
                if (name === "useLease") return async () => {};
                const call = Reflect.get(target, name) as (...args: unknown[]) => unknown;
                return call.bind(target);
              },
            }),
          ),
        ),
    }),
  };
  assert.equal(await told(deaf, latch), "released");
  assert.equal(await told(deaf, latch), "released", "the planted fault opens it twice");
  await assert.rejects(verify(service), { code: "audit/broken", message: /^the use of latch .* by the log$/ });
});

test("an older copy of the store that is taken into use has no open lease", async () => {
  using home = makeHome();
  const copy = join(home.path, "older");
  const { latch, at } = await (async () => {
    await using service = await openService(home.folder);
    const { latch } = await under(service);
    await grant(service, 0);
    await service.store.recordProgress();
    return { latch, at: service.clock.nowMs };
  })();
  cpSync(home.folder, copy, { recursive: true });
  {
    await using service = await openService(home.folder);
    service.clock.nowMs = at;
    assert.equal(await told(service, latch), "released");
    await service.store.recordProgress();
  }
  rmSync(home.folder, { recursive: true });
  cpSync(copy, home.folder, { recursive: true });
  await assert.rejects(openService(home.folder), { code: "store/rolled-back" });
  await using service = await openService(home.folder, { acceptRollback: true });
  service.clock.nowMs = at;
  assert.equal(await told(service, latch), "policy/no-lease");
  await verify(service);
});

test("a running machine announces its lease, and a copy of its request is of no use", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  const request = await leaseRequest(service, machine, { seconds: 900 });
  assert.deepEqual(await sendLease(service, request), { isNeeded: true, seconds: 900 });
  assert.equal(await sendLease(service, request), "lease/stale");
  assert.equal(await told(service, latch), "released");
  service.clock.nowMs += MINUTE_MS;
  assert.equal(await told(service, latch), "policy/lease-used");
  assert.equal(await sendLease(service, request), "lease/stale");
  assert.equal(await told(service, latch), "policy/lease-used");
  assert.deepEqual(await announce(service, machine, { seconds: 900 }), { isNeeded: true, seconds: 900 });
  assert.equal(await told(service, latch), "released");
  assert.deepEqual(await announce(service, machine, { seconds: 0 }), { isNeeded: true, seconds: 0 });
  assert.equal(await told(service, latch), "policy/no-lease");
  const log = await verify(service);
  assert.ok(log.some((body) => body.includes('"kind":"refusal"') && body.includes('"lease/stale"')));
});

test("a request that was held back is good for a minute at most, by either clock, and by one server", async () => {
  using home = makeHome();
  using other = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  for (const clock of ["nowMs", "monotonicMs"] as const) {
    for (const move of [MINUTE_MS, -1]) {
      const held = await leaseRequest(service, machine, { seconds: 900 });
      service.clock[clock] += move;
      assert.equal(await sendLease(service, held), "lease/stale", `${clock} ${move}`);
    }
  }
  assert.equal(await told(service, latch), "policy/no-lease");
  await using elsewhere = await openService(other.folder);
  const held = await leaseRequest(elsewhere, machine, { seconds: 900 });
  assert.equal(await sendLease(service, held), "lease/other-server");
  assert.equal(await announce(service, newMachine(), { seconds: 900 }), "machine/unknown");
});

test("a machine asks for half an hour at most, and neither cuts short nor ends what an operator opened", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  assert.deepEqual(await announce(service, machine, { seconds: 86_400 }), { isNeeded: true, seconds: 1800 });
  await grantLease(service, "nas", { lifetimeMs: 3_600_000, graceMs: 0, by: 1000 });
  assert.equal(await told(service, latch), "released");
  assert.equal(await told(service, latch), "policy/lease-used");
  for (const seconds of [60, 0]) {
    assert.deepEqual(await announce(service, machine, { seconds }), { isNeeded: true, seconds: 3600 });
    assert.equal(await told(service, latch), "released");
  }
  await verify(service);
});

test("a machine under always opens nothing by announcing, and leaves no entry", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  const before = (await verify(service)).length;
  assert.deepEqual(await announce(service, machine, { seconds: 900 }), { isNeeded: false, seconds: 0 });
  assert.equal((await verify(service)).length, before);
});

test("a machine that announces without end does not fill the log", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await under(service);
  const answers: unknown[] = [];
  for (let count = 0; count < 130; count++) answers.push(await announce(service, machine, { seconds: 60 }));
  assert.equal(answers.filter((answer) => answer === "lease/too-many").length, 10);
});

test("an operator's lease has bounds", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await under(service);
  for (const [lifetimeMs, graceMs] of [
    [59_999, 0],
    [86_400_001, 0],
    [MINUTE_MS, 600_001],
    [MINUTE_MS, -1],
    [1.5 * 60_001, 0],
  ] as const) {
    await assert.rejects(grantLease(service, "nas", { lifetimeMs, graceMs, by: 0 }), { code: "lease/bad-time" });
  }
});

test("a heartbeat that asks hears what is left of a lease, and of nothing else", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await under(service);
  const session = await sessionOf(service, machine);
  const left = async () => {
    const heard = await sendBeat(service, session, nextBeat(session), { asksLease: true });
    return typeof heard === "string" ? heard : heard.leaseSeconds;
  };
  assert.equal(await left(), 0);
  await grant(service);
  assert.equal(await left(), 900);
  assert.deepEqual(await beat(service, session), { isLocked: false, withinSeconds: 0 }, "who does not ask");
  service.clock.nowMs += 899_001;
  assert.equal(await left(), 0, "less than a second");
  service.clock.nowMs += 1_000_000;
  assert.equal(await left(), 0, "over, and not ended yet");
  await keepHouse(service);
  await announce(service, machine, { seconds: 60 });
  assert.equal(await left(), 60);
  service.clock.nowMs -= MINUTE_MS + 1;
  assert.equal(await left(), 0, "the clock is well behind the log");
  service.clock.nowMs += MINUTE_MS + 1;
  await changeMachine(service, "nas", { change: "lock", by: 0 });
  const told = await sendBeat(service, session, nextBeat(session), { asksLease: true });
  assert.deepEqual(told, { isLocked: true, withinSeconds: 0, leaseSeconds: 0 });
});

test("the first heartbeat after the boot ends the lease, and one of the boot before does not", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  const before = await sessionOf(service, machine);
  await beat(service, before);
  await announce(service, machine, { seconds: 900 });
  await beat(service, before);
  assert.equal(await told(service, latch), "released");
  await beat(service, before);
  assert.equal(await told(service, latch), "released", "a heartbeat that was sent before the boot");
  const after = await sessionOf(service, machine);
  assert.equal(await told(service, latch), "released", "a session is no sign of life");
  assert.deepEqual(await beat(service, after), { isLocked: false, withinSeconds: 0 });
  assert.equal(await told(service, latch), "policy/no-lease");
  assert.equal((await verify(service)).filter((body) => /"kind":"lease-end".*"why":"booted"/.test(body)).length, 1);

  await announce(service, machine, { seconds: 900 });
  assert.equal(await told(service, latch), "released");
  await beat(service, after);
  assert.equal(await told(service, latch), "released", "the session is older than the second lease");
});

test("a session that was opened between the announcement and the boot ends nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  await announce(service, machine, { seconds: 900 });
  const session = await sessionOf(service, machine);
  await beat(service, session);
  assert.equal(await told(service, latch), "released");
  await beat(service, session);
  assert.equal(await told(service, latch), "released");
});

test("a lease goes on for the volume that opens late, and is over once that was released too", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  const late = (await addLatchTo(service, machine)) as TestLatch;
  await grant(service);
  assert.equal(await told(service, latch), "released");
  const session = await sessionOf(service, machine);
  await beat(service, session);
  assert.equal(await told(service, late), "released");
  await beat(service, session);
  assert.equal(await told(service, late), "policy/no-lease");
  assert.equal(await told(service, latch), "policy/no-lease");
  await verify(service);
});

test("a latch that is locked is not waited for, and a server that was restarted meanwhile knows the boot", async () => {
  using home = makeHome();
  let nowMs = 0;
  let made: Awaited<ReturnType<typeof enrolled>>;
  {
    await using service = await openService(home.folder);
    made = await under(service);
    const late = (await addLatchTo(service, made.machine)) as TestLatch;
    await changeLatch(service, late.latchId, { change: "lock", by: 0 });
    await grant(service);
    assert.equal(await told(service, made.latch), "released");
    nowMs = service.clock.nowMs;
  }
  await using service = await openService(home.folder, { nowMs });
  assert.equal(await told(service, made.latch), "released");
  await beat(service, await sessionOf(service, made.machine));
  assert.equal(await told(service, made.latch), "policy/no-lease");
});

test("a heartbeat is answered while the store cannot be written, and the next one ends the lease", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service);
  await grant(service);
  assert.equal(await told(service, latch), "released");
  const session = await sessionOf(service, machine);
  const { store } = service;
  const transact = store.transact.bind(store);
  store.transact = async () => {
    throw new NightlatchError("store/full", "no room");
  };
  assert.equal(typeof (await beat(service, session)), "object");
  store.transact = transact;
  assert.equal(await told(service, latch), "released");
  await beat(service, session);
  assert.equal(await told(service, latch), "policy/no-lease");
});
