/**
 * What operators are told of the log: the last release of each machine, and its end with its names.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeEntry } from "../../../../src/server/audit/entry.ts";
import { latestOf } from "../../../../src/server/audit/latest.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { Answers } from "../../../../src/server/http/answers.ts";
import { type AdminContext, administer } from "../../../../src/server/operator-api/routes.ts";
import { indexLog } from "../../../../src/server/service/log/latest.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
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
  recoveryBody,
  type TestLatch,
} from "../../../support/server/harness.ts";

const PACE_BURST = 120;

const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
const BODY = recoveryBody();

interface Entry {
  readonly number: number;
  readonly kind: string;
  readonly at: number;
  readonly last?: number;
  readonly machine?: string;
  readonly latch?: string;
  readonly subject?: string;
  readonly from?: string;
  readonly name?: string;
}

async function get(service: OpenService, path: string, method = "GET"): Promise<Record<string, unknown>> {
  const context: AdminContext = {
    service,
    answers: new Answers(service.system),
    masterSource: "file",
    url: () => "http://127.0.0.1:7654",
  };
  const request = { method, segments: path.split("/"), body: Buffer.alloc(0), role: "operator", uid: 1000 } as const;
  return JSON.parse(String((await administer(context, request)).body)) as Record<string, unknown>;
}

async function wholeLog(service: OpenService): Promise<Entry[]> {
  return (await service.store.audit.entries(0)).map(({ number, body }) => ({
    number,
    ...(JSON.parse(String(body)) as Omit<Entry, "number">),
  }));
}

function wholeSize(service: OpenService): Promise<number> {
  return service.store.transact(async (transaction) => (await transaction.tree()).size);
}

/** Of each latch what the log says last, and of those the latest by time. */
function lastOfMachine(log: readonly Entry[], machine: string): Entry | undefined {
  const byLatch = new Map<string, Entry>();
  for (const entry of log) {
    if (RELEASED.includes(entry.kind) && entry.machine === machine) byLatch.set(String(entry.latch), entry);
  }
  const timeOf = (entry: Entry) => Number(entry.last ?? entry.at);
  return [...byLatch.values()].sort((a, b) => timeOf(b) - timeOf(a))[0];
}

const RELEASED = ["release", "flood", "flood-end"];
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("ask" as const), pick: fc.nat(20), from: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("burst" as const), pick: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("lock" as const, "unlock" as const), pick: fc.nat(20) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("index" as const, "house" as const, "restart" as const) }),
  },
);

test("each kind of entry that tells of a release is found by its text", () => {
  const released = { at: 1, machine: "m", latch: "a-latch_1", epoch: 1, from: "::1" };
  for (const entry of [
    { kind: "release", ...released },
    { kind: "flood", ...released, until: 2 },
    { kind: "flood-end", ...released, since: 1, last: 2, count: 3 },
  ] as const) {
    const [row] = latestOf([[7, String(encodeEntry(entry))]]);
    assert.deepEqual(row, { kind: "release", subject: "a-latch_1", entry: 7 }, entry.kind);
  }
});

test("the last release and refusal that are told are the log's, whenever it was read up to, after a restart too", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: full ? 60 : 20, size: "max" }), async (steps) => {
      using home = makeHome();
      let service = await openService(home.folder);
      try {
        const machines = [
          await enrolled(service, "nas"),
          await enrolled(service, "pi"),
          await enrolled(service, "vps"),
        ];
        const latches = machines.map(({ latch }) => latch);
        latches.push((await addLatchTo(service, machines[0]?.machine ?? newMachine())) as TestLatch);
        for (const next of steps) {
          service.clock.nowMs += 1000;
          const latch = latches["pick" in next ? next.pick % latches.length : 0] as TestLatch;
          const name = latch.name;
          if (next.kind === "ask") await ask(service, latch, BODY, `192.0.2.${next.from}`);
          else if (next.kind === "burst")
            await Promise.all(Array.from({ length: PACE_BURST + 3 }, () => ask(service, latch, BODY)));
          else if (next.kind === "lock" || next.kind === "unlock")
            await changeMachine(service, name, { by: 0, change: next.kind });
          else if (next.kind === "index") await indexLog(service);
          else if (next.kind === "house") {
            service.clock.nowMs += 3_600_000;
            await keepHouse(service);
          } else {
            const { nowMs } = service.clock;
            await service[Symbol.asyncDispose]();
            service = await openService(home.folder);
            service.clock.nowMs = nowMs;
          }
        }
        const log = await wholeLog(service);
        const time = (entry: Entry | undefined) =>
          entry === undefined ? undefined : new Date(entry.last ?? entry.at).toISOString();
        const { machines: listed, unread } = await get(service, "machines");
        assert.equal(unread, 0);
        for (const { id, lastRelease } of listed as {
          id: string;
          lastRelease: { at: string; from: string } | null;
        }[]) {
          const wanted = lastOfMachine(log, id);
          assert.deepEqual([lastRelease?.at, lastRelease?.from], [time(wanted), wanted?.from]);
        }
        for (const name of ["nas", "pi"]) {
          const { latches: shown } = await get(service, `machines/${name}`);
          for (const { id, lastRelease, lastRefusal } of shown as Record<string, { at: string } | null>[]) {
            const released = log.findLast(({ kind, latch }) => RELEASED.includes(kind) && latch === String(id));
            assert.equal(lastRelease?.at, time(released));
            const refused = log.findLast(({ kind, subject }) => kind.startsWith("refusal") && subject === String(id));
            assert.equal(lastRefusal?.at, time(refused));
          }
        }
      } finally {
        await service[Symbol.asyncDispose]();
      }
    }),
    { numRuns: full ? 100 : 8, endOnFailure: !full },
  );
});

async function filled(service: OpenService): Promise<void> {
  const nas = await enrolled(service, "nas");
  const pi = await enrolled(service, "pi");
  for (let count = 0; count < 40; count++) {
    await ask(service, count % 3 === 0 ? nas.latch : pi.latch);
    if (count % 10 === 0) await changeMachine(service, "pi", { by: 0, change: count % 20 === 0 ? "lock" : "unlock" });
  }
  await enrolWith(service, nas.machine, await makeInvite(service, "web"));
}

test("a tail in pages of any length, forwards and backwards, is the whole log once", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await filled(service);
  const log = await wholeLog(service);
  for (const count of [1, 7, 256]) {
    const found: Entry[] = [];
    for (let before: unknown = "end"; before !== 0; ) {
      const { entries, next } = await get(service, `audit/tail/${before}/${count}`);
      assert.ok((entries as Entry[]).length <= count);
      found.unshift(...(entries as Entry[]));
      before = next;
    }
    assert.deepEqual(
      found.map(({ number, kind }) => [number, kind]),
      log.map(({ number, kind }) => [number, kind]),
    );
    const forwards: Entry[] = [];
    for (let from: unknown = 0; ; ) {
      const { entries, next, size } = await get(service, `audit/after/${from}/${count}`);
      forwards.push(...(entries as Entry[]));
      from = next;
      if (next === size) break;
    }
    assert.deepEqual(forwards, found);
  }
});

test("a tail of one machine has what is about it, its latches and its invites, and nothing else", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await filled(service);
  const of = async (name: string) => (await get(service, `audit/tail/end/256/${name}`))["entries"] as Entry[];
  const [all, nas, pi, web] = [
    (await get(service, "audit/tail/end/256"))["entries"] as Entry[],
    ...(await Promise.all(["nas", "pi", "web"].map(of))),
  ];
  const numbers = (entries: readonly Entry[] | undefined) => entries?.map(({ number }) => number);
  const named = (name: string) => numbers(all.filter((entry) => entry.name === name));
  assert.deepEqual(numbers(pi), named("pi"));
  assert.deepEqual(numbers(web), named("web"));
  // A copy of nas came with the invite for web: that is about both.
  const both = all.filter(({ kind, name }) => kind === "refusal" && name === "web");
  assert.equal(both.length, 1);
  assert.deepEqual(numbers(nas), [...(named("nas") ?? []), both[0]?.number]);
  assert.deepEqual(
    both.map((entry) => (entry as Entry & { known: string }).known),
    ["nas"],
  );
  await assert.rejects(of("nosuch"), { code: "machine/unknown" });
});

test("what is no part of a tail is refused", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  for (const path of [
    "tail",
    "tail/end",
    "tail/end/0",
    "tail/end/257",
    "tail/-1/5",
    "tail/x/5",
    "after/end/5",
    "tail/1/5/nas/x",
  ]) {
    await assert.rejects(get(service, `audit/${path}`), { code: /machine\/unknown|request\/malformed/ }, path);
  }
  assert.deepEqual((await get(service, "audit/after/999999999999999/5"))["next"], 1);
});

/** Entries: two stretches. */
const NOISE = 20_000;

test("a log of a size that takes many pages is read up to its end, and no entry is looked at twice", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const noise = Array.from({ length: NOISE / 100 }, (_, index) =>
    service.queue.submit(async () => ({
      outcome: null,
      entries: Array.from({ length: 100 }, (_, part) => {
        return { kind: "refusal", at: index * 100 + part, reason: "invite/unknown", from: "192.0.2.1" } as const;
      }),
    })),
  );
  await ask(service, latch, BODY, "192.0.2.9");
  await Promise.all(noise);
  const asked: number[] = [];
  const { store } = service;
  const transact = store.transact.bind(store);
  store.transact = (work) =>
    transact((transaction) => {
      const { entryTexts } = transaction;
      return work(
        new Proxy(transaction, {
          get: (target, name) =>
            name === "entryTexts"
              ? (from: number, limit: number) => {
                  asked.push(from);
                  return entryTexts.call(target, from, limit);
                }
              : (target[name as keyof typeof target] as () => unknown).bind(target),
        }),
      );
    });
  const left = await indexLog(service, 0);
  assert.ok(left > 0, "one stretch, where nobody has patience");
  assert.equal(await indexLog(service), 0);
  assert.equal(await indexLog(service), 0);
  assert.equal(new Set(asked).size, asked.length);
  assert.equal(asked.length, Math.ceil(NOISE / 1024));
  // Another that began before and comes late takes nothing back.
  const late = { kind: "release", subject: latch.latchId, entry: 1 } as const;
  await transact((transaction) => transaction.setLatest([late], 1));
  assert.equal(await transact((transaction) => transaction.latestReach()), await wholeSize(service));
  store.transact = transact;
  const [nas] = (await get(service, "machines"))["machines"] as { lastRelease: { from: string } }[];
  assert.equal(nas?.lastRelease.from, "192.0.2.9");
});
