import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { recover } from "../../../../src/server/machine-api/tang.ts";
import { grantLease, setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { vote } from "../../../../src/server/service/policies/requests.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import type { Service } from "../../../../src/server/service/service.ts";
import {
  addLatchTo,
  announce,
  ask,
  enrolled,
  makeHome,
  type OpenService,
  openService,
  recoveryBody,
  type TestLatch,
} from "../../../support/server/harness.ts";

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 30 * MINUTE_MS;
const BODY = recoveryBody();
const [HOME, THIEF] = ["192.0.2.7", "198.51.100.66"];

async function under(service: Service, of = 1, name = "hsm") {
  const made = await enrolled(service, name);
  await setPolicy(service, name, { policy: "approval", approval: { of, timeoutMs: TIMEOUT_MS }, by: 0 });
  return made;
}

async function told(service: Service, latch: TestLatch, from = HOME): Promise<string> {
  const outcome = await ask(service, latch, BODY, from);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

const waiting = (service: Service) => service.store.transact((transaction) => transaction.requests());

/** The id of the request from an address. */
async function idOf(service: Service, from = HOME): Promise<string> {
  const found = (await waiting(service)).find((request) => request.from === from);
  assert.ok(found !== undefined, `nothing waits from ${from}`);
  return found.id;
}

const approve = (service: Service, id: string, by: number) => vote(service, id, { verb: "approve", by });
const deny = (service: Service, id: string, by = 1000) => vote(service, id, { verb: "deny", by });

/** The log, once it was verified against the store. */
async function verify(service: OpenService): Promise<string[]> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  return (await audit.entries(0)).map(({ body }) => String(body));
}

const kinds = (log: readonly string[]) => log.map((body) => String(JSON.parse(body).kind));

test("a machine waits for two different operators, and is released once, to the address that it asked from", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service, 2);
  const second = (await addLatchTo(service, machine)) as TestLatch;
  const before = (await verify(service)).length;
  for (let count = 0; count < 50; count++) assert.equal(await told(service, latch), "policy/waits");
  assert.equal(await told(service, second), "policy/waits");
  const id = await idOf(service);
  assert.deepEqual(kinds(await verify(service)).slice(before), ["request"]);
  assert.equal(service.asks.of(id)?.count, 51);

  assert.deepEqual(await approve(service, id, 1000).then(({ changed, opened }) => [changed, opened]), [true, false]);
  assert.deepEqual(await approve(service, id, 1000).then(({ changed, opened }) => [changed, opened]), [false, false]);
  assert.equal(await told(service, latch), "policy/waits");
  assert.equal((await approve(service, id, 1001)).opened, true);
  assert.equal(await told(service, latch, THIEF), "policy/waits");
  assert.equal(await told(service, latch), "released");
  assert.equal(await told(service, latch), "released", "the first answer may have been lost");
  assert.equal(await told(service, second), "released");
  service.clock.nowMs += MINUTE_MS;
  assert.equal(await told(service, latch), "policy/waits", "it asks anew");
  await assert.rejects(approve(service, id, 1002), { code: "request/unknown" });
  const log = kinds(await verify(service)).slice(before);
  assert.deepEqual(
    log.filter((kind) => kind !== "release"),
    ["request", "request-approve", "request-approve", "lease", "request", "request"],
  );
});

test("what was approved is over after ten minutes, and a vote that came too late is of no use", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service, 2);
  await told(service, latch);
  const first = await idOf(service);
  await approve(service, first, 1000);
  service.clock.nowMs += TIMEOUT_MS;
  await assert.rejects(approve(service, first, 1001), { code: "request/unknown" });
  assert.equal(await told(service, latch), "policy/waits");
  const second = await idOf(service);
  assert.notEqual(second, first);
  assert.equal((await approve(service, second, 1001)).opened, false, "the vote of before does not count");
  assert.equal((await approve(service, second, 1000)).opened, true);
  service.clock.nowMs += 10 * MINUTE_MS;
  assert.equal(await told(service, latch), "policy/waits");
  service.clock.nowMs += TIMEOUT_MS;
  await keepHouse(service);
  assert.deepEqual(await waiting(service), []);
  assert.deepEqual(
    kinds(await verify(service)).filter((kind) => kind.startsWith("request") || kind.startsWith("lease")),
    [
      "request",
      "request-approve",
      "request-expired",
      "request",
      "request-approve",
      "request-approve",
      "lease",
      "request",
    ].concat(["lease-end", "request-expired"]),
  );
});

test("operators are told of what begins, is approved, denied or expired, once it is durable", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service, 2);
  const told_: string[] = [];
  service.notices.deliverTo((notice) => {
    assert.ok("request" in notice);
    told_.push([notice.type, notice.request, notice.machine, notice.from].join(" "));
  });
  for (let count = 0; count < 3; count++) await told(service, latch);
  const first = await idOf(service);
  for (const by of [1000, 1000, 1001]) await approve(service, first, by);
  await told(service, latch, THIEF);
  const second = await idOf(service, THIEF);
  for (const by of [1000, 1001]) await deny(service, second, by);
  service.clock.nowMs += TIMEOUT_MS;
  await keepHouse(service);
  assert.deepEqual(told_, [
    `request.new ${first} hsm ${HOME}`,
    `request.approved ${first} hsm ${HOME}`,
    `request.new ${second} hsm ${THIEF}`,
    `request.denied ${second} hsm ${THIEF}`,
    `request.expired ${second} hsm ${THIEF}`,
  ]);
});

test("what was denied stays so until it expires, whoever approves", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  await told(service, latch);
  const id = await idOf(service);
  assert.equal((await deny(service, id)).changed, true);
  assert.equal((await deny(service, id, 1001)).changed, false);
  for (const named of [id, `hsm@${HOME}`]) await assert.rejects(approve(service, named, 0), { code: "request/denied" });
  const before = (await verify(service)).length;
  assert.equal(await told(service, latch), "policy/denied");
  assert.equal((await verify(service)).length, before);
  service.clock.nowMs += TIMEOUT_MS;
  assert.equal(await told(service, latch), "policy/waits");
  assert.equal((await approve(service, await idOf(service), 1000)).opened, true);
  assert.equal(await told(service, latch), "released");
});

test("a lock, a revocation and another policy make it void; after a lock and an unlock it asks anew", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service, 2);
  await told(service, latch);
  const denied = await idOf(service);
  await deny(service, denied);
  await changeMachine(service, "hsm", { by: 0, change: "lock" });
  assert.equal(await told(service, latch), "machine/locked");
  assert.deepEqual(await waiting(service), []);
  await assert.rejects(approve(service, `hsm@${HOME}`, 0), { code: "request/unknown" });
  await changeMachine(service, "hsm", { by: 0, change: "unlock" });
  assert.equal(await told(service, latch), "policy/waits");

  await approve(service, await idOf(service), 1000);
  await setPolicy(service, "hsm", { policy: "approval", approval: { of: 2, timeoutMs: 2 * TIMEOUT_MS }, by: 0 });
  assert.equal(await told(service, latch), "policy/waits");
  assert.equal((await approve(service, await idOf(service), 1001)).opened, false);
  await approve(service, await idOf(service), 1000);
  await changeMachine(service, "hsm", { by: 0, change: "lock" });
  await changeMachine(service, "hsm", { by: 0, change: "unlock" });
  assert.equal(await told(service, latch), "policy/waits", "an approved window does not outlive a lock");
  await changeMachine(service, "hsm", { by: 0, change: "revoke" });
  assert.deepEqual(await waiting(service), []);
  await verify(service);
});

test("neither the machine nor one operator goes around the others", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await under(service, 2);
  assert.equal(await announce(service, machine, { seconds: 900 }), "lease/needs-approval");
  await assert.rejects(grantLease(service, "hsm", { lifetimeMs: MINUTE_MS, graceMs: 0, by: 0 }), {
    code: "lease/needs-approval",
  });
  assert.equal(await told(service, latch), "policy/waits");
  for (const approval of [
    { of: 0, timeoutMs: TIMEOUT_MS },
    { of: 17, timeoutMs: TIMEOUT_MS },
    { of: 1.5, timeoutMs: TIMEOUT_MS },
    { of: 1, timeoutMs: 299_999 },
    { of: 1, timeoutMs: 8 * 86_400_000 },
  ]) {
    await assert.rejects(setPolicy(service, "hsm", { policy: "approval", approval, by: 0 }), {
      code: "policy/bad-terms",
    });
  }
});

test("strangers who fill the queue keep the machine out of it, but not from its approval", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  const counts = new Map<string, number>();
  for (let host = 0; host < 40; host++) {
    const reason = await told(service, latch, `198.51.${host}.1`);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  assert.deepEqual(
    [...counts],
    [
      ["policy/waits", 16],
      ["policy/crowded", 24],
    ],
  );
  assert.equal(await told(service, latch), "policy/crowded");
  const log = kinds(await verify(service));
  assert.equal(log.filter((kind) => kind === "request").length, 16);
  assert.equal(log.filter((kind) => kind === "refusal").length, 1);

  assert.equal((await approve(service, `hsm@${HOME}`, 1000)).opened, true);
  assert.equal(await told(service, latch, THIEF), "policy/crowded");
  assert.equal(await told(service, latch), "released");
  await verify(service);
});

test("one network of IPv6 has two places in the queue of a machine, whatever its addresses", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  const reasons: string[] = [];
  for (let host = 1; host <= 4; host++) reasons.push(await told(service, latch, `2001:db8::${host}`));
  assert.deepEqual(reasons, ["policy/waits", "policy/waits", "policy/crowded", "policy/crowded"]);
  assert.equal((await approve(service, "hsm@2001:0DB8:0::4", 1000)).opened, true);
  assert.equal(await told(service, latch, "2001:db8::4"), "released");
  for (const named of ["hsm@", "hsm@300.1.1.1", "hsm@1.2.3", "hsm@[::1]", "@::1", "", "nas"]) {
    await assert.rejects(approve(service, named, 1000), { code: "request/unknown" }, named);
  }
  await assert.rejects(approve(service, "nas@::1", 1000), { code: "machine/unknown" });
});

test("limits hold under any policy, are counted with the receipt, and keep strangers out of the queue", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "hsm");
  const bound = (policy: "always" | "approval", limits: object) => setPolicy(service, "hsm", { policy, limits, by: 0 });
  await bound("always", { from: "192.0.2.0/24", perDay: "2" });
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => told(service, latch))), [
    "released",
    "released",
    "policy/day-used",
  ]);
  assert.equal(await told(service, latch, THIEF), "policy/other-network");
  assert.equal((await bound("always", {})).changed, false, "what is left off stays");
  service.clock.nowMs += 86_400_000;
  assert.equal(await told(service, latch), "released");
  await bound("approval", { perDay: "any" });
  assert.equal(await told(service, latch, THIEF), "policy/other-network");
  assert.equal(await told(service, latch), "policy/waits");
  assert.deepEqual(
    (await waiting(service)).map(({ from }) => from),
    [HOME],
  );
  const log = await verify(service);
  assert.deepEqual(
    log
      .map((body) => JSON.parse(body))
      .filter(({ kind }) => kind === "release")
      .map(({ day }) => day),
    [1, 2, 1],
  );
  const now = new Date(service.clock.nowMs);
  const hour = (ahead: number) => `${String((now.getHours() + ahead) % 24).padStart(2, "0")}:00`;
  await bound("always", { hours: `${hour(0)}-${hour(1)}` });
  assert.equal(await told(service, latch), "released");
  await bound("always", { hours: `${hour(1)}-${hour(0)}` });
  assert.equal(await told(service, latch), "policy/other-hours");
  for (const limits of [{ from: "x" }, { perDay: "0" }, { hours: "8-18" }])
    await assert.rejects(bound("always", limits), { code: "policy/bad-terms" });
});

test("a stranger is answered as by a machine that is locked, to the byte, whatever operators said", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service);
  const other = await enrolled(service, "locked");
  await changeMachine(service, "locked", { by: 0, change: "lock" });
  const answer = ({ latchId, kid }: TestLatch) => recover(service, { latchId, kid }, BODY, THIEF);
  const locked = await answer(other.latch);
  assert.equal(locked.status, 403);
  assert.deepEqual(await answer(latch), locked);
  assert.deepEqual(await answer(latch), locked);
  await deny(service, await idOf(service, THIEF));
  assert.deepEqual(await answer(latch), locked);
});

test("what waits and who approved outlives a crash; a clock that jumps opens nothing", async () => {
  using home = makeHome();
  const crashed = join(home.path, "crashed");
  await using service = await openService(home.folder);
  const { latch } = await under(service, 2);
  await told(service, latch);
  const id = await idOf(service);
  await approve(service, id, 1000);
  mkdirSync(crashed, { mode: 0o700 });
  for (const name of ["store.sqlite", "store.sqlite-wal", "master.key", "cells"]) {
    if (existsSync(join(home.folder, name))) copyFileSync(join(home.folder, name), join(crashed, name));
  }
  copyFileSync(`${home.folder}.id`, `${crashed}.id`);
  await using again = await openService(crashed);
  again.clock.nowMs = service.clock.nowMs;
  assert.equal(await told(again, latch), "policy/waits");
  assert.equal((await approve(again, id, 1000)).changed, false);
  assert.equal((await approve(again, id, 1001)).opened, true);
  const at = again.clock.nowMs;
  for (const jump of [365 * 86_400_000, -365 * 86_400_000]) {
    again.clock.nowMs = at + jump;
    assert.equal(await told(again, latch), "policy/waits");
    await keepHouse(again);
  }
  again.clock.nowMs = at;
  assert.equal(await told(again, latch), "policy/waits", "a window that was seen as over stays so");
  await keepHouse(again);
  await verify(again);
});

test("a vote that was written beside the log shows when it is verified", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await under(service, 2);
  await told(service, latch);
  const [request] = await waiting(service);
  assert.ok(request !== undefined);
  await service.store.transact((transaction) => transaction.setRequest({ ...request, approvedBy: [1000] }));
  await assert.rejects(verify(service), { code: "audit/broken", message: /^the approvedBy of request .* by the log$/ });
});

test("an older copy of the store that is taken into use has nothing that waits", async () => {
  using home = makeHome();
  const copy = join(home.path, "older");
  const { latch, at } = await (async () => {
    await using service = await openService(home.folder);
    const { latch } = await under(service);
    await told(service, latch);
    await service.store.recordProgress();
    return { latch, at: service.clock.nowMs };
  })();
  cpSync(home.folder, copy, { recursive: true });
  {
    await using service = await openService(home.folder);
    service.clock.nowMs = at;
    await deny(service, await idOf(service));
  }
  rmSync(home.folder, { recursive: true });
  cpSync(copy, home.folder, { recursive: true });
  await using service = await openService(home.folder, { acceptRollback: true });
  service.clock.nowMs = at;
  assert.deepEqual(await waiting(service), []);
  assert.equal(await told(service, latch), "policy/waits");
  await verify(service);
});
