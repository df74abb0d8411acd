/** Releases of a day: their count is durable with its receipt, and is in its table later. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import type { Entry } from "../../../../src/server/audit/entry.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { assembleService } from "../../../../src/server/service/assemble.ts";
import { saveDays } from "../../../../src/server/service/days.ts";
import { setPolicy } from "../../../../src/server/service/policies/policies.ts";
import type { Operation } from "../../../../src/server/service/queue.ts";
import { openFolder } from "../../../../src/server/store/folder/folder.ts";
import type { Transaction } from "../../../../src/server/store/port.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { altered } from "../../../simulation/faults.ts";
import {
  ask,
  enrolled,
  makeHome,
  type OpenService,
  openService,
  type TestLatch,
  UID,
} from "../../../support/server/harness.ts";

const PER_DAY = 5;
/** So many counts are saved in one transaction: service/days.ts. */
const SAVED_AT_ONCE = 256;
const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

async function limited(service: OpenService, name = "nas"): Promise<TestLatch> {
  const { latch } = await enrolled(service, name);
  await setPolicy(service, name, { policy: "always", limits: { perDay: String(PER_DAY) }, by: 0 });
  return latch;
}

async function told(service: OpenService, latch: TestLatch): Promise<string> {
  const outcome = await ask(service, latch);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

async function verify({ store: { audit } }: OpenService): Promise<void> {
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
}

const reachOf = ({ store }: OpenService) => store.transact((transaction) => transaction.dayReach());
const sizeOf = ({ store }: OpenService) => store.transact(async (transaction) => (await transaction.tree()).size);

/** A service whose transactions fail where they write a thing for the n-th time. */
function failing(service: OpenService, nth: number): OpenService {
  let count = 0;
  const counted = (write: () => Promise<void>): Promise<void> => {
    if (++count === nth) throw new NightlatchError("store/full", "injected");
    return write();
  };
  const submit = <T>(operation: Operation<T>): Promise<T> =>
    service.queue.submit((transaction) =>
      operation(
        altered(transaction, {
          setDay: (...day) => counted(() => transaction.setDay(...day)),
          setDayReach: (size) => counted(() => transaction.setDayReach(size)),
        }),
      ),
    );
  const queue = altered(service.queue, { submit });
  return { ...service, queue };
}

test("a server that ends without a word has lost no count, wherever its saving ended", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ asks: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ savesUntil: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 2, arbitrary: fc.constant("ends" as const) },
    { weight: 1, arbitrary: fc.record({ waitMs: fc.constantFrom(3_600_000, 86_400_000) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24, size: "max" }), async (steps) => {
      using home = makeHome();
      let service = await openService(home.folder);
      const latches = [await limited(service, "nas"), await limited(service, "pi"), await limited(service, "vps")];
      const days = latches.map(() => ({ sinceMs: Number.NEGATIVE_INFINITY, count: 0 }));
      for (const next of steps) {
        const { nowMs } = service.clock;
        if (next === "ends") {
          await service[Symbol.asyncDispose]();
          service = await openService(home.folder, { nowMs });
        } else if ("waitMs" in next) service.clock.nowMs += next.waitMs;
        else if ("savesUntil" in next)
          await saveDays(failing(service, next.savesUntil)).catch((error: NightlatchError) =>
            assert.equal(error.message, "injected"),
          );
        else {
          const day = days[next.asks] ?? assert.fail();
          if (nowMs - day.sinceMs >= 86_400_000) Object.assign(day, { sinceMs: nowMs, count: 0 });
          const wanted = day.count < PER_DAY ? "released" : "policy/day-used";
          assert.equal(await told(service, latches[next.asks] ?? assert.fail()), wanted);
          if (wanted === "released") day.count++;
        }
        await verify(service);
      }
      await saveDays(service);
      assert.deepEqual(service.days.unsaved(), []);
      await verify(service);
      await service[Symbol.asyncDispose]();
    }),
    { numRuns: full ? 60 : 8 },
  );
});

test("nothing is counted, and nothing saved, before it is known what was counted", async () => {
  using home = makeHome();
  const latch = await (async () => {
    await using service = await openService(home.folder);
    const latch = await limited(service);
    for (let count = 0; count < PER_DAY; count++) assert.equal(await told(service, latch), "released");
    return latch;
  })();
  const opened = await openFolder(nodeSystem, home.folder, { uid: UID });
  const early = assembleService(nodeSystem, opened);
  await assert.rejects(ask(early, latch), /before it is known/);
  await saveDays(early);
  await opened.store.close();
  await using service = await openService(home.folder);
  assert.equal(await told(service, latch), "policy/day-used");
  await verify(service);
});

test("a saving of many that ends before its end has lost none", async () => {
  using home = makeHome();
  const latches: TestLatch[] = [];
  {
    await using service = await openService(home.folder);
    for (let count = 0; count < SAVED_AT_ONCE + 2; count++) {
      const { machine, latch } = await enrolled(service, `m${count}`);
      await setPolicy(service, machine.id, { policy: "always", limits: { perDay: "1" }, by: 0 });
      latches.push(latch);
    }
    const outcomes = await Promise.all(latches.map((latch) => told(service, latch)));
    assert.deepEqual(new Set(outcomes), new Set(["released"]));
    await assert.rejects(saveDays(failing(service, SAVED_AT_ONCE + 2)), { message: "injected" });
    await verify(service);
  }
  await using service = await openService(home.folder);
  const outcomes = await Promise.all(latches.map((latch) => told(service, latch)));
  assert.deepEqual(new Set(outcomes), new Set(["policy/day-used"]));
});

test("a count that is not on the disk does not hold", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const latch = await limited(service);
  for (let count = 0; count < 3; count++) {
    const failed = service.queue.submit(async () => assert.fail("the disk"));
    const [released] = await Promise.all([told(service, latch), assert.rejects(failed)]);
    assert.equal(released, "released");
  }
  assert.equal(service.days.of(latch.latchId)?.count, 3, "each was tried twice");
});

test("a disk that refuses the table keeps nothing else of the house waiting", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const latch = await limited(service);
  assert.equal(await told(service, latch), "released");
  const done: string[] = [];
  Object.assign(service.store, {
    recordProgress: async () => void done.push("recorded"),
    holdRoom: async () => void done.push("room is held"),
  });
  await assert.rejects(keepHouse(failing(service, 1)), { message: "injected" });
  assert.deepEqual(done, ["recorded", "room is held"]);
});

test("what is changed in the table is found, and a table that is said to reach further than it does", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const latch = await limited(service);
  assert.equal(await told(service, latch), "released");
  const change = (work: (transaction: Transaction) => Promise<void>) => service.store.transact(work);
  const broken = { code: "audit/broken", message: /^the day of latch / };
  await change(async (transaction) => transaction.setDayReach((await transaction.tree()).size));
  await assert.rejects(verify(service), broken);
  await saveDays(service); // what is in memory is right
  await verify(service);
  assert.equal(await told(service, latch), "released");
  await saveDays(service);
  await change((transaction) => transaction.setDay(latch.latchId, { sinceMs: 0, count: 0 }));
  await assert.rejects(verify(service), broken);
});

test("a start reads few entries, though nothing is counted; and few commits are made for that", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await limited(service);
  const entries = Array.from(
    { length: 1000 },
    (): Entry => ({ kind: "refusal", at: service.clock.nowMs, reason: "none", from: "none" }),
  );
  await saveDays(service);
  assert.equal(await reachOf(service), 0, "it is not worth a commit yet");
  for (let round = 0; round < 5; round++) await service.queue.submit(async () => ({ outcome: null, entries }));
  await saveDays(service);
  assert.equal(await reachOf(service), await sizeOf(service));
});
