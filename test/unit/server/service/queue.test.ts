import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import type { Tree } from "../../../../src/server/audit/times.ts";
import { CommitQueue } from "../../../../src/server/service/queue.ts";
import type { Store, Transaction } from "../../../../src/server/store/port.ts";
import { nodeSystem } from "../../../../src/system/node.ts";

/** A store that keeps only the log, and can be told to fail. */
class FakeStore {
  commits = 0;
  entries: string[] = [];
  fail: NightlatchError | null = null;

  async transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const staged: { tree: Tree; bodies: string[] } = { tree: this.#tree, bodies: [] };
    const log: Partial<Transaction> = {
      tree: async () => staged.tree,
      insertEntries: async (_first, bodies) => void staged.bodies.push(...bodies.map(String)),
      setTree: async (tree) => {
        staged.tree = tree;
      },
      insertCheckpoint: async () => {},
    };
    const result = await work(log as Transaction);
    if (this.fail !== null) throw this.fail;
    this.commits++;
    this.#tree = staged.tree;
    this.entries.push(...staged.bodies);
    return result;
  }

  #tree: Tree = { size: 0, hashes: [], times: [] };
}

const NOTHING = { settled: () => null, room: () => null };

function setUp(gatherMs?: number, answers: ConstructorParameters<typeof CommitQueue>[3] = NOTHING) {
  const store = new FakeStore();
  const { privateKey } = generateKeyPairSync("ed25519");
  const signer = { storeId: "x", key: privateKey };
  const queue = new CommitQueue(store as unknown as Store, signer, nodeSystem, answers, gatherMs);
  const submit = (name: string) =>
    queue.submit(async () => ({ outcome: name, entries: [{ kind: "store", at: 1, store: name }] }));
  return { store, queue, submit };
}

test("what arrives together is committed together, and told in its order", async () => {
  const { store, submit } = setUp();
  const told: string[] = [];
  await Promise.all(["a", "b", "c"].map(async (name) => told.push(await submit(name))));
  assert.deepEqual(told, ["a", "b", "c"]);
  assert.equal(store.commits, 1);
  assert.deepEqual(
    store.entries.map((body) => JSON.parse(body).store),
    ["a", "b", "c"],
  );
});

test("outcomes of one batch are told before the next one begins", async () => {
  const { store, queue, submit } = setUp();
  const events: string[] = [];
  const first = Array.from({ length: 200 }, async (_, index) => {
    await submit(`${index}`);
    events.push(`told ${index} after commit ${store.commits}`);
  });
  await Promise.all(first);
  await queue.idle();
  assert.equal(store.commits, 2);
  assert.deepEqual(events[127], "told 127 after commit 1");
  assert.deepEqual(events[128], "told 128 after commit 2");
});

test("one operation that fails does not take the others with it", async () => {
  const { store, queue, submit } = setUp();
  const bad = queue.submit(async () => {
    throw new NightlatchError("machine/unknown", "there is no machine");
  });
  const outcomes = await Promise.allSettled([submit("a"), bad, submit("b")]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.equal(store.entries.length, 2);
  assert.equal(queue.failure, null);
});

test("a disk that is full fails all, once, and is told of until a commit succeeds again", async () => {
  const { store, queue, submit } = setUp();
  store.fail = new NightlatchError("store/full", "no space is left");
  const outcomes = await Promise.allSettled([submit("a"), submit("b")]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason.code),
    ["store/full", "store/full"],
  );
  assert.equal(queue.failure, "store/full");
  store.fail = null;
  assert.equal(await submit("c"), "c");
  assert.equal(queue.failure, null);
  assert.deepEqual(
    store.entries.map((body) => JSON.parse(body).store),
    ["c"],
  );
});

test("a connection that was accepted is waited for, as long as something arrives in each turn", async () => {
  // However slow the machine is: what ends the wait is the turn.
  const { store, queue, submit } = setUp(60_000);

  const first = submit("a");
  queue.expect();
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([first, submit("b")]);
  assert.equal(store.commits, 1);
  await queue.idle();
  const alone = submit("c");
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([alone, submit("d")]);
  assert.equal(store.commits, 3, "without it, the turn is over");
});

test("connections without end do not put a commit off for ever", async () => {
  const { store, queue, submit } = setUp();
  let told = false;
  const first = submit("a").then(() => {
    told = true;
  });
  while (!told) {
    queue.expect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await first;
  assert.equal(store.commits, 1);
});

test("an operator's operation goes before all that wait, in a commit of its own", async () => {
  const { store, queue, submit } = setUp(60_000);
  const told: string[] = [];
  const note = (name: string) => told.push(`${name} in commit ${store.commits}`);
  const waiting = Array.from({ length: 300 }, (_, index) => submit(`${index}`).then(note));
  const first = (name: string) =>
    queue.submitFirst(async () => ({ outcome: name, entries: [{ kind: "store", at: 1, store: name }] })).then(note);
  await Promise.all([...waiting, first("lock"), first("revoke")]);
  assert.deepEqual(told.slice(0, 3), ["lock in commit 1", "revoke in commit 2", "0 in commit 3"]);
  assert.equal(told.length, 302);
});

test("an operator's operation waits for nothing that may still arrive", async () => {
  const { store, queue, submit } = setUp(60_000);
  const other = submit("other");
  await new Promise((resolve) => setImmediate(resolve));
  let turns = 0;
  const operator = queue.submitFirst(async () => ({ outcome: "lock", entries: [], wrote: true }));
  let isTold = false;
  void operator.then(() => {
    isTold = true;
  });
  while (!isTold) {
    queue.expect(); // something new in each turn: others would be waited for
    turns++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(turns <= 3, `${turns} turns`);
  await other;
  assert.equal(store.commits, 2);
});

test("what may stop a release is told once all before it is answered; a release waits for room alone", async () => {
  const given: { settled: Promise<void> | null; room: Promise<void> | null } = { settled: null, room: null };
  const { store, queue, submit } = setUp(undefined, { settled: () => given.settled, room: () => given.room });
  const told: string[] = [];
  const release = (name: string) =>
    queue
      .submitRelease(async () => ({ outcome: name, entries: [{ kind: "store", at: 1, store: name }] }))
      .then((outcome) => told.push(outcome));
  await release("first");
  for (const act of [() => submit("end"), () => queue.submitFirst(async () => ({ outcome: "lock", entries: [] }))]) {
    const answered = Promise.withResolvers<void>();
    given.settled = answered.promise;
    const acted = act().then((outcome) => told.push(outcome));
    while (store.commits < 2) await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(told.length, 1, "it is on the disk, and not told");
    store.commits = 1;
    answered.resolve();
    await acted;
    told.pop();
  }
  const room = Promise.withResolvers<void>();
  given.room = room.promise;
  const second = release("second");
  while (store.commits < 2) await new Promise((resolve) => setImmediate(resolve));
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, ["first"]);
  room.resolve();
  await second;
  assert.deepEqual(told, ["first", "second"]);
});
