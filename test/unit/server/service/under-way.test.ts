/** What happens to a release whose product is still being made when an operator acts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchExchange } from "../../../../src/server/exchange/batch.ts";
import { chooseExchange } from "../../../../src/server/exchange/choose.ts";
import { changeLatch, changeMachine, type StateChange } from "../../../../src/server/service/policies/states.ts";
import {
  ask,
  enrolled,
  type Home,
  makeHome,
  type OpenService,
  openService,
  type TestLatch,
} from "../../../support/server/harness.ts";
import { HeldThread } from "../../../support/server/held-thread.ts";

const BY = { by: 1000 };

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** Two machines, and a thread that every product comes from when it is told to. */
async function setUp(
  home: Home,
): Promise<{ service: OpenService; thread: HeldThread; nas: TestLatch; pi: TestLatch } & AsyncDisposable> {
  const thread = new HeldThread();
  const exchange = new BatchExchange(chooseExchange(), async () => thread, { fewest: 1, isPressed: () => true });
  const service = await openService(home.folder, { exchange });
  const [nas, pi] = [(await enrolled(service, "nas")).latch, (await enrolled(service, "pi")).latch];
  assert.equal((await ask(service, nas)).kind, "released"); // the thread is started by the first
  return { service, thread, nas, pi, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() };
}

const changeOf = (change: StateChange) => (service: OpenService, latch: TestLatch) =>
  changeLatch(service, latch.latchId, { ...BY, change });

for (const [name, act] of [
  ["a machine is locked", (of: OpenService) => changeMachine(of, "nas", { ...BY, change: "lock" })],
  ["a machine is revoked", (of: OpenService) => changeMachine(of, "nas", { ...BY, change: "revoke" })],
  ["a latch is locked", changeOf("lock")],
  ["a latch is revoked", changeOf("revoke")],
] as const) {
  test(`${name} while its key is being made: it is not released, and the operator is told after that`, async () => {
    using home = makeHome();
    await using set = await setUp(home);
    const { service, thread, nas, pi } = set;
    const events: string[] = [];
    const [asked, other] = [ask(service, nas), ask(service, pi)];
    for (const one of [asked, other]) void one.then(({ kind }) => events.push(kind));
    await until(() => thread.asked.length > 0);
    const acted = act(service, nas).then(() => events.push("told"));
    const commits = (await service.store.transact((transaction) => transaction.tree())).size;
    for (let size = commits; size === commits; ) {
      size = (await service.store.transact((transaction) => transaction.tree())).size;
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(events, [], "the change is on the disk, and not told");
    thread.goOn();
    assert.deepEqual(await asked, { kind: "refused", reason: "machine/locked" });
    assert.equal((await other).kind, "released");
    await acted;
    assert.deepEqual(events, ["refused", "released", "told"]);
  });
}

test("what was emptied in the same commit is not released, whoever asked for it", async () => {
  using home = makeHome();
  await using set = await setUp(home);
  const { service, thread, nas } = set;
  const asked = ask(service, nas);
  await until(() => thread.asked.length > 0);
  const cell = (await service.store.transact((transaction) => transaction.latch(nas.latchId)))?.cell ?? 0;
  service.cells.empty([cell]);
  thread.goOn();
  assert.deepEqual(await asked, { kind: "refused", reason: "latch/revoked" });
});

test("releases wait for no answer, as long as not too many are being made", async () => {
  using home = makeHome();
  await using set = await setUp(home);
  const { service, thread, nas, pi } = set;
  const asked = [];
  for (let number = 1; number <= 4; number++) {
    asked.push(ask(service, number % 2 === 0 ? nas : pi));
    await until(() => thread.asked.length === number);
  }
  asked.push(ask(service, nas));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(thread.asked.length, 4);
  for (let number = 1; number <= 5; number++) {
    await until(() => thread.asked.length >= Math.min(5, number + 3));
    thread.goOn();
    assert.equal((await asked[number - 1])?.kind, "released");
  }
});
