import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { recover } from "../../../../src/server/machine-api/tang.ts";
import { begun } from "../../../../src/server/policy/alive.ts";
import { listen, lockGone, resumePulses, saveHeard } from "../../../../src/server/service/alive/alive.ts";
import { PULSE_BYTES, Pulses } from "../../../../src/server/service/memory/pulses.ts";
import { setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import {
  ask,
  enrolled,
  type Home,
  makeHome,
  type OpenService,
  openService,
  recoveryBody,
  type TestLatch,
} from "../../../support/server/harness.ts";
import {
  beat,
  nextBeat,
  sendBeat,
  sendSession,
  sessionOf,
  sessionRequest,
} from "../../../support/server/heartbeats.ts";

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 5 * MINUTE_MS;
const BODY = recoveryBody();
const HEARD = { isLocked: false, withinSeconds: 75 };
const LOCKED = { isLocked: true, withinSeconds: 75 };

const alive = (service: OpenService, timeoutMs = TIMEOUT_MS) =>
  setPolicy(service, "nas", { policy: "alive", timeoutMs, by: 0 });

/** A machine under `alive` that was heard just now. */
async function under(service: OpenService) {
  const made = await enrolled(service, "nas");
  const session = await sessionOf(service, made.machine);
  assert.deepEqual(await beat(service, session), { isLocked: false, withinSeconds: 0 });
  await alive(service);
  assert.deepEqual(await beat(service, session), HEARD);
  return { ...made, session };
}

/** Time passes, while the server looks now and then. */
async function pass(service: OpenService, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    service.clock.nowMs += Math.min(1000, left);
    service.clock.monotonicMs += Math.min(1000, left);
    listen(service, service.clock.monotonicMs);
    await lockGone(service);
  }
}

async function told(service: OpenService, latch: TestLatch): Promise<string> {
  const outcome = await ask(service, latch, BODY);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

async function verify(service: OpenService): Promise<string[]> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  return (await audit.entries(0)).map(({ body }) => String(body));
}

/** Ends a server, cleanly or not, and starts it anew on the same folder after so long. */
async function again(home: Home, before: OpenService, awayMs: number, isClean = true): Promise<OpenService> {
  if (isClean) await saveHeard(before, true);
  const nowMs = before.clock.nowMs + awayMs;
  await before[Symbol.asyncDispose]();
  return openService(home.folder, { nowMs });
}

test("a machine that is silent for too long is locked, with one entry, until a person unlocks it", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, session } = await under(service);
  await pass(service, TIMEOUT_MS - 1000);
  assert.deepEqual(await beat(service, session), HEARD);
  await pass(service, TIMEOUT_MS - 1);
  assert.equal(await told(service, latch), "released");
  await pass(service, 15 * MINUTE_MS);
  assert.equal(await told(service, latch), "machine/locked");
  assert.deepEqual(await beat(service, session), LOCKED);
  await pass(service, 60 * MINUTE_MS);
  assert.equal(await told(service, latch), "machine/locked");
  await changeMachine(service, "nas", { by: 0, change: "unlock" });
  assert.equal(await told(service, latch), "released");
  assert.deepEqual(await beat(service, session), HEARD);
  const log = await verify(service);
  const gone = log.filter((body) => body.includes('"kind":"machine-gone"'));
  assert.equal(gone.length, 1);
  assert.match(gone[0] ?? "", /"epoch":2,.*"last":\d+,.*"name":"nas","timeout":300000/);
});

test("it is refused from the moment of its timeout, before it is locked", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, session } = await under(service);
  service.clock.monotonicMs += TIMEOUT_MS;
  service.pulses.listenedMs = service.clock.monotonicMs;
  assert.equal(await told(service, latch), "policy/not-alive");
  assert.deepEqual(await beat(service, session), LOCKED, "too late: it is locked with that");
  assert.equal(await told(service, latch), "machine/locked");
});

test("a stranger is answered as by a machine that is locked, to the byte", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  const answer = () => recover(service, latch, BODY, "192.0.2.66");
  service.clock.monotonicMs += TIMEOUT_MS;
  service.pulses.listenedMs = service.clock.monotonicMs;
  const silent = await answer();
  assert.equal(silent.status, 403);
  await lockGone(service);
  assert.deepEqual(await answer(), silent);
});

test("a lock is there after the server has crashed, and so is what is left of the timeout", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const { latch, machine } = await under(first);
  await pass(first, MINUTE_MS);
  await using second = await again(home, first, MINUTE_MS);
  assert.equal(await told(second, latch), "released", "heard two minutes ago");
  const session = await sessionOf(second, machine);
  await beat(second, session);
  await pass(second, TIMEOUT_MS);
  await using third = await again(home, second, 0, false);
  assert.equal(await told(third, latch), "machine/locked");
  assert.equal(await sendSession(third, machine, sessionRequest(third, machine)), "machine/locked");
  await verify(third);
});

test("after a restart it is not released for what nobody has seen, and has its timeout to be heard in", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const { latch, machine } = await under(first);
  await using second = await again(home, first, 60 * MINUTE_MS);
  assert.equal(await told(second, latch), "policy/not-alive");
  await pass(second, TIMEOUT_MS - 1000);
  await beat(second, await sessionOf(second, machine));
  assert.equal(await told(second, latch), "released");
});

test("the time of a boot is had once, also across a restart, and its end is on the disk", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const { latch, session } = await under(first);
  assert.equal(await told(first, latch), "released");
  await pass(first, 10 * MINUTE_MS);
  await using second = await again(home, first, 0, false);
  assert.equal(await told(second, latch), "released");
  await pass(second, TIMEOUT_MS - 1);
  assert.equal(await told(second, latch), "released");
  await pass(second, 1);
  assert.equal(await told(second, latch), "machine/locked");
  assert.equal(await beat(second, session), "session/unknown", "sessions end with the server");
});

test("what a heartbeat after a boot has ended does not come back with a crash", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const { latch, session } = await under(first);
  assert.equal(await told(first, latch), "released");
  assert.deepEqual(await beat(first, session), HEARD);
  await using second = await again(home, first, TIMEOUT_MS, false);
  assert.equal(await told(second, latch), "policy/not-alive");
});

test("clocks that jump by years: nobody is locked, nobody is released by it", async () => {
  const years = 20 * 365 * 86_400_000;
  for (const jumpMs of [years, -years]) {
    using home = makeHome();
    const first = await openService(home.folder);
    const { latch, session, machine } = await under(first);
    first.clock.nowMs += jumpMs;
    await pass(first, TIMEOUT_MS - 1000);
    assert.deepEqual(await beat(first, session), HEARD);
    assert.equal(await told(first, latch), "released");
    // It is back, and the server is started anew with it; the log has seen the other one.
    await using second = await again(home, first, -jumpMs);
    assert.equal(await told(second, latch), "policy/not-alive");
    await pass(second, TIMEOUT_MS - 1000);
    await beat(second, await sessionOf(second, machine));
    assert.equal(await told(second, latch), "released");
  }
});

test("a server that was held up locks nobody for it, and releases nothing before it hears", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, session } = await under(service);
  service.clock.monotonicMs += 60 * MINUTE_MS;
  assert.equal(await told(service, latch), "policy/not-alive");
  assert.deepEqual(await beat(service, session), HEARD);
  assert.equal(await told(service, latch), "released");
});

test("a machine of which nothing is heard is not put under alive", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  await assert.rejects(alive(service), { code: "alive/not-heard" });
  const session = await sessionOf(service, machine);
  await assert.rejects(alive(service), { code: "alive/not-heard" }, "a session is no sign of life");
  await beat(service, session);
  await pass(service, TIMEOUT_MS);
  await assert.rejects(alive(service), { code: "alive/not-heard" });
  await beat(service, session);
  await alive(service);
  for (const timeoutMs of [4999, 86_400_001, 5000.5, Number.NaN])
    await assert.rejects(alive(service, timeoutMs), { code: "alive/bad-time" });
  assert.equal((await alive(service)).changed, false);
  assert.equal((await alive(service, 2 * TIMEOUT_MS)).changed, true);
  await verify(service);
});

test("an operator may not have more released than before; root may", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await under(service);
  const set = (policy: "alive" | "lease", timeoutMs: number, mayLoosen: boolean) =>
    setPolicy(service, "nas", { policy, by: 7, mayLoosen, ...(policy === "alive" ? { timeoutMs } : {}) });
  await assert.rejects(set("alive", 2 * TIMEOUT_MS, false), { code: "admin/denied" });
  await set("alive", TIMEOUT_MS / 2, false);
  await set("lease", 0, false);
  await assert.rejects(set("alive", TIMEOUT_MS, false), { code: "admin/denied" });
  await set("alive", TIMEOUT_MS, true);
});

test("another policy ends it, and a machine that is revoked loses its session", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, session, machine } = await under(service);
  await setPolicy(service, "nas", { policy: "always", by: 0 });
  await pass(service, 60 * MINUTE_MS);
  assert.equal(await told(service, latch), "released");
  assert.deepEqual(await beat(service, session), { isLocked: false, withinSeconds: 0 });
  await changeMachine(service, "nas", { by: 0, change: "revoke" });
  assert.equal(await beat(service, session), "session/unknown");
  assert.equal(await sendSession(service, machine, sessionRequest(service, machine)), "machine/revoked");
});

test("forged, repeated and moved heartbeats are refused, told, and change nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, session, machine } = await under(service);
  await pass(service, TIMEOUT_MS - 2000);
  const good = nextBeat(session);
  const forged = Buffer.from(good);
  forged.writeUInt8(forged.readUInt8(43) ^ 1, 43);
  assert.equal(await sendBeat(service, session, forged), "session/unknown");
  assert.equal(await sendBeat(service, session, good, { from: "192.0.2.66" }), "session/other-address");
  assert.equal(await sendBeat(service, session, good.subarray(1)), "malformed");
  assert.equal(await sendBeat(service, session, Buffer.concat([good, good])), "malformed");
  assert.deepEqual(await sendBeat(service, session, good), HEARD);
  assert.equal(await sendBeat(service, session, good), "session/replayed");
  session.counter = 0;
  assert.equal(await beat(service, session), "session/replayed");
  // None of them was a sign of life.
  await pass(service, TIMEOUT_MS - 1000);
  assert.equal(await sendBeat(service, session, good), "session/replayed");
  await pass(service, 1000);
  assert.equal(await told(service, latch), "machine/locked");
  const log = await verify(service);
  for (const reason of ["session/forged", "session/replayed", "session/other-address"]) {
    const told = log.filter((body) => body.includes(`"reason":"${reason}","subject":"${machine.id}"`));
    assert.equal(told.length, 1, reason);
  }
});

test("a heartbeat of one session is of no use in another, and the older session is over", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { session, machine } = await under(service);
  const later = await sessionOf(service, machine);
  assert.equal(await beat(service, session), "session/unknown");
  const mixed = { ...session, name: later.name };
  assert.equal(await sendBeat(service, mixed, nextBeat(mixed)), "session/unknown");
  assert.deepEqual(await beat(service, later), HEARD);
});

test("a request for a session is taken once, in time, by its server, and by a machine that may", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, session } = await under(service);
  const request = sessionRequest(service, machine);
  const held = sessionRequest(service, machine);
  const opened = await sendSession(service, machine, request);
  assert.ok(typeof opened !== "string");
  assert.equal(await sendSession(service, machine, request), "session/stale");
  assert.equal(await sendSession(service, machine, held), "session/stale");
  assert.deepEqual(await beat(service, opened), HEARD, "a copy ends no session");
  const late = sessionRequest(service, machine);
  await pass(service, MINUTE_MS);
  assert.equal(await sendSession(service, machine, late), "session/stale");

  using otherHome = makeHome();
  await using other = await openService(otherHome.folder);
  assert.equal(await sendSession(service, machine, sessionRequest(other, machine)), "session/other-server");
  assert.equal(await sendSession(other, machine, sessionRequest(other, machine)), "machine/unknown");

  await changeMachine(service, "nas", { by: 0, change: "lock" });
  assert.equal(await sendSession(service, machine, sessionRequest(service, machine)), "machine/locked");
  assert.equal(await beat(service, session), "session/unknown");
  assert.deepEqual(await beat(service, opened), LOCKED, "the running machine is told");
  const log = await verify(service);
  for (const reason of ["session/stale", "session/other-server", "machine/locked"])
    assert.equal(log.filter((body) => body.includes(`"reason":"${reason}"`)).length, 1, reason);
});

test("sessions are opened at a pace", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  const outcomes = new Map<string, number>();
  for (let count = 0; count < 125; count++) {
    const outcome = await sendSession(service, machine, sessionRequest(service, machine));
    const said = typeof outcome === "string" ? outcome : "opened";
    outcomes.set(said, (outcomes.get(said) ?? 0) + 1);
  }
  assert.deepEqual(
    [...outcomes],
    [
      ["opened", 120],
      ["session/too-many", 5],
    ],
  );
});

test("a change that is not on the disk is not in memory either", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await under(service);
  const number = service.pulses.find(machine.id);
  assert.ok(number !== null);
  const before = service.pulses.pulseOf(number);
  const failing = service.queue.submit(async () => {
    service.pulses.setPulseWithin(number, begun(TIMEOUT_MS, 1e9));
    throw new Error("the disk is gone");
  });
  await assert.rejects(failing, /the disk is gone/);
  assert.deepEqual(service.pulses.pulseOf(number), before);
});

test("what could not be written is written later", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, session } = await under(service);
  await pass(service, MINUTE_MS);
  await beat(service, session);
  const broken = Object.assign(Object.create(service.queue) as OpenService["queue"], {
    submit: () => Promise.reject(new Error("the disk is full")),
  });
  await assert.rejects(saveHeard({ ...service, queue: broken }, false), /the disk is full/);
  await saveHeard(service, false);
  const row = await service.store.transact((transaction) => transaction.machine(machine.id));
  assert.equal(row?.seenMs, service.clock.nowMs);
  assert.equal(row?.alive?.untilMs, service.clock.nowMs + TIMEOUT_MS);
});

test("machines have a fixed room in memory, and are found by their ids", () => {
  assert.equal(PULSE_BYTES, 137);
  const pulses = new Pulses();
  const idOf = (index: number) => {
    const id = Buffer.alloc(32, 7);
    // Many share the first bytes, by which they are looked for.
    id.writeUInt32BE(index % 5);
    id.writeUInt32BE(index, 28);
    return id.toString("base64url");
  };
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 100 }), (indexes) => {
      for (const index of indexes) assert.equal(pulses.idOf(pulses.add(idOf(index))), idOf(index));
    }),
  );
  for (let index = 0; index < 20_000; index++) {
    pulses.add(createHash("sha256").update(String(index)).digest("base64url"));
  }
  assert.ok(pulses.size > 20_000, "more than one page");
  assert.equal(pulses.find(idOf(401)), null);
  assert.equal(pulses.find("short"), null);
  const last = pulses.add(idOf(402));
  assert.equal(pulses.find(idOf(402)), last);
});

test("who is under alive is found at a start, however many they are", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await under(service);
  await enrolled(service, "other");
  await resumePulses(service);
  assert.ok(service.pulses.find(machine.id) !== null);
  assert.equal(service.pulses.size, 1);
});
