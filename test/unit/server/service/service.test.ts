import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { parseInvite } from "../../../../src/formats/own/invite.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { invite } from "../../../../src/server/service/latches/invite.ts";
import { changeLatch, changeMachine } from "../../../../src/server/service/policies/states.ts";
import {
  addLatchTo,
  ask,
  enrolled,
  enrolWith,
  makeHome,
  makeInvite,
  newMachine,
  type OpenService,
  openService,
  type TestLatch,
} from "../../../support/server/harness.ts";

const MAX_LATCHES = 64;

const BY = { by: 1000 };

async function kindOf(outcome: ReturnType<typeof ask>): Promise<string> {
  const answer = await outcome;
  return answer.kind === "refused" ? answer.reason : answer.kind;
}

test("a release follows the machine's state and the latch's, at once", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch, machine } = await enrolled(service, "nas");
  const second = (await addLatchTo(service, machine)) as TestLatch;
  const both = async () => [await kindOf(ask(service, latch)), await kindOf(ask(service, second))];
  assert.deepEqual(await both(), ["released", "released"]);

  const locked = await changeMachine(service, "nas", { ...BY, change: "lock" });
  assert.deepEqual([locked.changed, locked.machine.state, locked.machine.epoch], [true, "locked", 2]);
  assert.deepEqual(await both(), ["machine/locked", "machine/locked"]);
  assert.equal((await changeMachine(service, machine.id, { ...BY, change: "lock" })).changed, false);

  assert.equal((await changeMachine(service, "nas", { ...BY, change: "unlock" })).machine.epoch, 3);
  await changeLatch(service, second.latchId, { ...BY, change: "lock" });
  assert.deepEqual(await both(), ["released", "machine/locked"]);
  await changeLatch(service, second.latchId, { ...BY, change: "unlock" });
  await changeLatch(service, second.latchId, { ...BY, change: "revoke" });
  assert.deepEqual(await both(), ["released", "latch/revoked"]);

  const revoked = await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.deepEqual([revoked.changed, revoked.scrubbed, revoked.machine.state], [true, true, "revoked"]);
  assert.deepEqual(
    revoked.latches.map(({ state }) => state),
    ["revoked", "revoked"],
  );
  assert.deepEqual(await both(), ["latch/revoked", "latch/revoked"]);
  assert.equal((await changeMachine(service, "nas", { ...BY, change: "revoke" })).changed, false);
  for (const change of ["lock", "unlock"] as const) {
    await assert.rejects(changeMachine(service, "nas", { ...BY, change }), {
      code: "machine/revoked",
      message: "the machine nas was revoked: its keys are destroyed",
    });
    await assert.rejects(changeLatch(service, latch.latchId, { ...BY, change }), { code: "machine/revoked" });
  }
});

test("what is not there is told apart from what is not allowed", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await assert.rejects(changeMachine(service, "nosuch", { ...BY, change: "lock" }), {
    code: "machine/unknown",
    message: 'there is no machine "nosuch"',
  });
  await assert.rejects(changeLatch(service, "A".repeat(22), { ...BY, change: "lock" }), { code: "latch/unknown" });
  assert.equal(await kindOf(ask(service, { ...latch, latchId: "A".repeat(22) })), "unknown");
  assert.equal(await kindOf(ask(service, { ...latch, kid: "A".repeat(43) })), "unknown");
});

test("an invite is good for one machine, until it expires, and only for who holds it", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const line = await makeInvite(service, "nas");
  const [machine, other, nonce] = [newMachine(), newMachine(), randomBytes(16)];
  const first = (await enrolWith(service, machine, line, nonce)) as TestLatch;
  assert.equal(first.name, "nas");
  assert.deepEqual(await enrolWith(service, machine, line, nonce), first, "the answer was lost: the same again");
  assert.notDeepEqual(await enrolWith(service, machine, line), first, "another nonce: one more latch");
  assert.equal(await enrolWith(service, other, line, nonce), "invite/used", "another machine");

  const short = await makeInvite(service, "short", 60_000);
  service.clock.nowMs += 60_000;
  assert.equal(await enrolWith(service, other, short), "invite/expired");

  const forged = await makeInvite(service, "forged");
  const bytes = JSON.parse(Buffer.from(forged.slice(5), "base64url").toString()) as { key: string; id: string };
  const relabel = (change: object) =>
    `nli1.${Buffer.from(JSON.stringify({ ...bytes, ...change })).toString("base64url")}`;
  assert.equal(await enrolWith(service, other, relabel({ key: "A".repeat(43) })), "invite/unknown");
  assert.equal(await enrolWith(service, other, relabel({ id: "A".repeat(22) })), "invite/unknown");
  assert.equal(typeof (await enrolWith(service, other, forged)), "object");
});

test("a second invite for a name voids the first; a name that is taken gets none", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const first = await makeInvite(service, "nas");
  const second = await invite(service, { name: "nas", lifetimeMs: 3_600_000, url: "http://127.0.0.1", by: 0 });
  assert.ok(second.replaced);
  assert.equal(await enrolWith(service, newMachine(), first), "invite/expired");
  assert.equal(typeof (await enrolWith(service, newMachine(), second.line)), "object");
  await assert.rejects(makeInvite(service, "nas"), {
    code: "machine/exists",
    message: "there is a machine nas already",
  });
  await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.equal(typeof (await enrolWith(service, newMachine(), await makeInvite(service, "nas"))), "object");
});

test("names and times that make no sense are refused", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  for (const name of ["", "-x", "a b", "x".repeat(65), "ä", "a/b", "A".repeat(43)]) {
    await assert.rejects(makeInvite(service, name), { code: "machine/bad-name" }, name);
  }
  for (const lifetimeMs of [0, -1, 59_999, 31 * 86_400_000, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    await assert.rejects(makeInvite(service, "nas", lifetimeMs), { code: "invite/bad-lifetime" }, String(lifetimeMs));
  }
});

test("a machine gets further latches by its identity alone, unless it is locked, revoked or unknown", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const nonce = randomBytes(16);
  const second = (await addLatchTo(service, machine, nonce)) as TestLatch;
  assert.notEqual(second.latchId, latch.latchId);
  assert.deepEqual(await addLatchTo(service, machine, nonce), second, "the answer was lost: the same again");
  assert.equal(await addLatchTo(service, newMachine()), "machine/unknown");
  await changeMachine(service, "nas", { ...BY, change: "lock" });
  assert.equal(await addLatchTo(service, machine), "machine/locked");
  await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.equal(await addLatchTo(service, machine), "machine/revoked");
  assert.equal(await enrolWith(service, machine, await makeInvite(service, "again")), "machine/revoked");
});

test("a latch that was revoked before it was bound is refused by its nonce; the invite gives its machine another", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const [machine, nonce] = [newMachine(), randomBytes(16)];
  const line = await makeInvite(service, "nas");
  const first = (await enrolWith(service, machine, line, nonce)) as TestLatch;
  await changeLatch(service, first.latchId, { ...BY, change: "revoke" });
  assert.equal(await enrolWith(service, machine, line, nonce), "latch/revoked");
  assert.equal(await addLatchTo(service, machine, nonce), "latch/revoked");
  const second = (await enrolWith(service, machine, line)) as TestLatch;
  assert.equal(await kindOf(ask(service, second)), "released");
  assert.equal(await enrolWith(service, newMachine(), line), "invite/used", "nobody else");
});

test("an invite for one name is not taken by a machine of another: a copy of it would be revoked with it", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const line = await makeInvite(service, "web");
  const { id } = parseInvite(line);
  const copied = { ...machine };
  for (const change of ["unlock", "lock"] as const) {
    await changeMachine(service, "nas", { ...BY, change });
    for (let count = 0; count < 2; count++) {
      assert.equal(await enrolWith(service, copied, line), "invite/other-machine", change);
    }
  }
  const entries = (await service.store.audit.entries(0)).map(({ body }) => JSON.parse(String(body)) as object);
  assert.deepEqual(
    entries.filter((entry) => "reason" in entry),
    [
      {
        kind: "refusal",
        at: service.clock.nowMs,
        reason: "invite/other-machine",
        subject: id,
        machine: machine.id,
        from: "192.0.2.1",
      },
    ],
  );
  await changeMachine(service, "nas", { ...BY, change: "unlock" });
  assert.equal(await kindOf(ask(service, latch)), "released");
  const own = newMachine();
  const enrolledNow = (await enrolWith(service, own, line)) as TestLatch;
  assert.equal(enrolledNow.name, "web", "with an identity of its own the same invite is good");
  await changeMachine(service, "web", { ...BY, change: "revoke" });
  assert.equal(await kindOf(ask(service, latch)), "released", "and the two are revoked apart");
  assert.equal(await enrolWith(service, own, await makeInvite(service, "again")), "machine/revoked");
});

test("latches of one machine are bounded; revoked ones do not count", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  for (let count = 1; count < MAX_LATCHES; count++) assert.equal(typeof (await addLatchTo(service, machine)), "object");
  assert.equal(await addLatchTo(service, machine), "machine/full");
  await changeLatch(service, latch.latchId, { ...BY, change: "revoke" });
  assert.equal(typeof (await addLatchTo(service, machine)), "object");
});

test("refusals leave few entries however many there are", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await changeMachine(service, "nas", { ...BY, change: "lock" });
  const size = () => service.store.transact(async (transaction) => (await transaction.tree()).size);
  const before = await size();
  await Promise.all(Array.from({ length: 500 }, () => ask(service, latch)));
  for (let count = 0; count < 50; count++) await ask(service, latch);
  assert.equal(await size(), before + 1);
});

test("who reads the files while keys are destroyed is told of, and the bytes go when the reader has gone", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const keys = await service.store.transact((transaction) => transaction.keys(latch.latchId));
  const holds = () =>
    readdirSync(home.folder).some((name) =>
      keys.some(({ wrapped }) => readFileSync(join(home.folder, name)).includes(wrapped)),
    );
  const reader = new Database(join(home.folder, "store.sqlite"), { readonly: true });
  reader.exec("begin");
  reader.prepare("select count(*) from latch_key").get();
  const revoked = await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.deepEqual([revoked.changed, revoked.scrubbed, service.store.needsScrub], [true, false, true]);
  assert.equal(await kindOf(ask(service, latch)), "latch/revoked", "refused all the same");
  assert.ok(holds());
  await keepHouse(service);
  assert.ok(service.store.needsScrub);
  reader.close();
  await keepHouse(service);
  assert.ok(!service.store.needsScrub);
  assert.ok(!holds());
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Holds the next outcome back: the transaction is durable when `committed` resolves, and its
 * outcome is told when `tell` is called.
 */
function holdNextOutcome({ store }: OpenService): { committed: Promise<void>; tell: () => void } {
  const { transact } = store;
  const [committed, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  store.transact = async (work) => {
    store.transact = transact;
    const result = await transact.call(store, work);
    committed.resolve();
    await told.promise;
    return result as never;
  };
  return { committed: committed.promise, tell: told.resolve };
}

test("once an operator's request is taken nothing of the machine is released, also with a receipt that is durable", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  for (const change of ["lock", "revoke"] as const) {
    for (const subject of ["machine", "latch"] as const) {
      const { latch, machine } = await enrolled(service, `${change}-${subject}`);
      const other = (await addLatchTo(service, machine)) as TestLatch;
      const held = holdNextOutcome(service);
      const asked = [kindOf(ask(service, latch)), kindOf(ask(service, other))];
      await held.committed;
      const wish = { ...BY, change };
      const changing =
        subject === "machine" ? changeMachine(service, machine.id, wish) : changeLatch(service, latch.latchId, wish);
      await turn();
      held.tell();
      const expected = ["machine/locked", subject === "machine" ? "machine/locked" : "released"];
      assert.deepEqual(await Promise.all(asked), expected, `${change} ${subject}`);
      assert.equal((await changing).changed, true);
    }
  }
});

test("requests that wait already when an operator's is taken are refused, and the change does not wait for them", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const [{ latch }, { latch: bystander }] = [await enrolled(service, "nas"), await enrolled(service, "pi")];
  const order: string[] = [];
  const note = async (kind: Promise<string>) => order.push(await kind);
  const asked = Array.from({ length: 300 }, () => note(kindOf(ask(service, latch))));
  const passing = kindOf(ask(service, bystander));
  const { queue } = service;
  const { submitFirst } = queue;
  queue.submitFirst = async (operation) => {
    const outcome = await submitFirst.call(queue, operation);
    order.push("locked");
    return outcome as never;
  };
  await changeMachine(service, "nas", { ...BY, change: "lock" });
  await Promise.all(asked);
  assert.equal(order[0], "locked");
  assert.deepEqual([...new Set(order)].sort(), ["locked", "machine/locked"]);
  assert.equal(await passing, "released");
});

test("a lock that could not be recorded is told so, and releases go on", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const { submitFirst } = service.queue;
  service.queue.submitFirst = async () => {
    assert.equal(await kindOf(ask(service, latch)), "machine/locked", "as long as it is tried");
    throw new NightlatchError("store/full", "no space is left");
  };
  await assert.rejects(changeMachine(service, "nas", { ...BY, change: "lock" }), { code: "store/full" });
  service.queue.submitFirst = submitFirst;
  assert.equal(await kindOf(ask(service, latch)), "released");
});

test("what operators ask for without waiting is done in the order in which they asked", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const asked = ["lock", "unlock", "lock", "unlock"] as const;
  const ofMachine = asked.map((change) => changeMachine(service, "nas", { ...BY, change }));
  const ofLatch = asked.map((change) => changeLatch(service, latch.latchId, { ...BY, change }));
  const done = await Promise.all([...ofMachine, ...ofLatch]);
  assert.deepEqual(
    done.map(({ changed }) => changed),
    done.map(() => true),
  );
  assert.equal(await kindOf(ask(service, latch)), "released");
});
