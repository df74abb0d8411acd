/**
 * Whoever has seen a latch's address may ask without end: nobody is kept out by that, and the disk
 * does not fill.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { FloodTally } from "../../../../src/server/audit/floods.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { startHousekeeping } from "../../../../src/server/housekeeping.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import { storePath } from "../../../../src/server/store/folder/paths.ts";
import { openAuditSource } from "../../../../src/server/store/sqlite/audit-source.ts";
import {
  ask,
  enrolled,
  makeHome,
  type OpenService,
  openService,
  recoveryBody,
  type TestLatch,
} from "../../../support/server/harness.ts";

const FLOOD_MS = 600_000;
const MAX_SOURCES = 16;
const PACE_BURST = 120;

const BODY = recoveryBody();
const NOW_MS = 1_800_000_000_000;
const OF = { machine: "m", latch: "l", epoch: 1, from: "192.0.2.1" };

function from(service: OpenService, latch: TestLatch, address: string, count: number) {
  return Promise.all(Array.from({ length: count }, () => ask(service, latch, BODY, address)));
}

async function entriesOf(service: OpenService, after = 0): Promise<Record<string, unknown>[]> {
  return (await service.store.audit.entries(after)).map(
    ({ body }) => JSON.parse(String(body)) as Record<string, unknown>,
  );
}

test("however often strangers ask for a latch, its own machine is released, and its receipt names it", async () => {
  using home = makeHome();
  {
    await using service = await openService(home.folder);
    const { latch } = await enrolled(service, "nas");
    const start = (await entriesOf(service)).length;
    const flood = await from(service, latch, "192.0.2.66", 500);
    assert.ok(flood.every(({ kind }) => kind === "released"));
    assert.equal((await ask(service, latch, BODY, "192.0.2.10")).kind, "released");
    assert.equal((await ask(service, latch, BODY, "192.0.2.10")).kind, "released");
    const entries = await entriesOf(service, start);
    assert.deepEqual(
      entries.slice(0, PACE_BURST).map(({ kind, from }) => `${kind} ${from}`),
      Array.from({ length: PACE_BURST }, () => "release 192.0.2.66"),
    );
    assert.deepEqual(
      entries.slice(PACE_BURST).map(({ kind, from, at, until }) => [kind, from, Number(until) - Number(at)]),
      [
        ["flood", "192.0.2.66", FLOOD_MS],
        ["flood", "192.0.2.10", FLOOD_MS],
      ],
    );
    await startHousekeeping(service, (error) => assert.fail(String(error)))();
    assert.deepEqual(
      (await entriesOf(service, start + PACE_BURST + 2)).map(({ kind, from, count }) => [kind, from, count]),
      [
        ["flood-end", "192.0.2.66", 500 - PACE_BURST],
        ["flood-end", "192.0.2.10", 2],
      ],
    );
    await changeMachine(service, "nas", { by: 0, change: "lock" });
    assert.equal((await ask(service, latch)).kind, "refused", "no receipt outlasts the state");
  }
  using source = openAuditSource(storePath(home.folder));
  await verifyLog(source, null);
});

test("no receipt, no release: a cover whose commit failed covers nothing, and the next release brings it along", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await from(service, latch, "192.0.2.66", PACE_BURST);
  const start = (await entriesOf(service)).length;
  const { store } = service;
  const transact = store.transact.bind(store);
  store.transact = async (work) =>
    transact(async (transaction) => {
      await work(transaction);
      throw new NightlatchError("store/full", "no space is left");
    });
  for (let round = 0; round < 2; round++) {
    await assert.rejects(from(service, latch, "192.0.2.66", 20), { code: "store/full" });
  }
  store.transact = transact;
  assert.equal((await entriesOf(service)).length, start);
  assert.equal((await ask(service, latch, BODY, "192.0.2.66")).kind, "released");
  assert.deepEqual(
    (await entriesOf(service, start)).map(({ kind }) => kind),
    ["flood"],
  );
  await from(service, latch, "192.0.2.66", 20);
  assert.equal((await entriesOf(service, start)).length, 1);
});

test("while the store cannot be written nothing is released on an earlier receipt, for nobody could be locked out", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await from(service, latch, "192.0.2.66", PACE_BURST + 1);
  const { store } = service;
  const transact = store.transact.bind(store);
  store.transact = async (work) =>
    transact(async (transaction) => {
      const before = (await transaction.tree()).size;
      const result = await work(transaction);
      if ((await transaction.tree()).size > before) throw new NightlatchError("store/full", "no space is left");
      return result;
    });
  await assert.rejects(changeMachine(service, "nas", { by: 0, change: "lock" }), { code: "store/full" });
  const unknown = { ...latch, latchId: "A".repeat(22) };
  assert.equal((await ask(service, unknown)).kind, "unknown", "what only reads succeeds, and proves nothing");
  await assert.rejects(ask(service, latch, BODY, "192.0.2.66"), { code: "store/full" });
  store.transact = transact;
  assert.equal((await ask(service, latch, BODY, "192.0.2.66")).kind, "released");
});

test("one operation that fails does not take the cover of the others with it", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await from(service, latch, "192.0.2.66", PACE_BURST);
  const start = (await entriesOf(service)).length;
  const outcomes = await Promise.allSettled([
    ask(service, latch, BODY, "192.0.2.66"),
    changeMachine(service, "nosuch", { by: 0, change: "lock" }),
    ask(service, latch, BODY, "192.0.2.66"),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  const entries = await entriesOf(service, start);
  assert.ok(entries.length >= 1 && entries.every(({ kind }) => kind === "flood"));
});

test("addresses are told apart up to a number, the others are one; a cover ends with its time", () => {
  const tally = new FloodTally();
  const covers = Array.from({ length: 100 }, (_, index) => tally.count({ ...OF, from: `192.0.2.${index}` }, NOW_MS));
  assert.equal(new Set(covers.map(({ entry }) => entry)).size, MAX_SOURCES + 1);
  assert.equal(covers.filter(({ isKnown }) => !isKnown).length, MAX_SOURCES + 1);
  assert.equal(covers.at(-1)?.entry.from, undefined);
  const lastMs = NOW_MS + FLOOD_MS - 1;
  assert.deepEqual(tally.count({ ...OF, from: "192.0.2.0" }, lastMs), { entry: covers[0]?.entry, isKnown: true });
  assert.deepEqual(tally.close(lastMs), []);
  const endMs = NOW_MS + FLOOD_MS;
  assert.equal(tally.count({ ...OF, from: "192.0.2.0" }, endMs).isKnown, false);
  const ended = tally.close(endMs);
  assert.equal(ended.length, MAX_SOURCES + 1);
  assert.deepEqual(ended[0], {
    kind: "flood-end",
    ...OF,
    from: "192.0.2.0",
    at: endMs,
    since: NOW_MS,
    last: lastMs,
    count: 2,
  });
  assert.equal(ended.at(-1)?.count, 100 - MAX_SOURCES);
  assert.deepEqual(tally.close(endMs), []);
  assert.deepEqual(
    tally.close(endMs, true).map(({ count }) => count),
    [1],
  );
});

test("a clock that is set back ends a cover", () => {
  const tally = new FloodTally();
  tally.count(OF, NOW_MS);
  assert.equal(tally.count(OF, NOW_MS - 1).isKnown, false);
});
