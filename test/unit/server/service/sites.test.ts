import assert from "node:assert/strict";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { endSiteWindows, listen, lockGone, saveHeard } from "../../../../src/server/service/alive/alive.ts";
import { holdMissed, resumeSites } from "../../../../src/server/service/alive/site-holds.ts";
import { Sites } from "../../../../src/server/service/memory/sites.ts";
import { addGroup, moveMachine, removeGroup, setGroupPolicy } from "../../../../src/server/service/policies/groups.ts";
import { setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { holdSite, releaseSite } from "../../../../src/server/service/policies/site-orders.ts";
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
  type TestMachine,
} from "../../../support/server/harness.ts";
import { beat, sessionOf, type TestSession } from "../../../support/server/heartbeats.ts";

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 5 * MINUTE_MS;
const BODY = recoveryBody();
const RATE = { count: 60, perMs: MINUTE_MS };
const ROOT = { by: 0 };

interface Member {
  readonly name: string;
  readonly machine: TestMachine;
  readonly latch: TestLatch;
  /** Where it stands. */
  readonly from: string;
  readonly session: TestSession;
}

/** A site of machines under `alive`, which were heard just now, each from its own address. */
async function makeSite(service: OpenService, count: number): Promise<Member[]> {
  await addGroup(service, "home", ROOT);
  const members: Member[] = [];
  for (let index = 0; index < count; index++) {
    const [name, from] = [`m${index}`, `192.0.2.${10 + index}`];
    const { machine, latch } = await enrolled(service, name);
    const session = await sessionOf(service, machine, from);
    await beat(service, session, from);
    await moveMachine(service, name, "home", ROOT);
    members.push({ name, machine, latch, from, session });
  }
  await setGroupPolicy(service, "home", { policy: "alive", timeoutMs: TIMEOUT_MS, by: 0 });
  await hear(service, members);
  return members;
}

async function hear(service: OpenService, members: readonly Member[]): Promise<void> {
  for (const { session, from } of members) await beat(service, session, from);
}

/** Time passes, while the server looks now and then, and who is well sends heartbeats. */
async function pass(service: OpenService, ms: number, well: readonly Member[] = []): Promise<void> {
  const stepMs = 2_000;
  for (let [left, since] = [ms, 0]; left > 0; left -= stepMs) {
    service.clock.nowMs += Math.min(stepMs, left);
    service.clock.monotonicMs += Math.min(stepMs, left);
    listen(service, service.clock.monotonicMs);
    await lockGone(service);
    await endSiteWindows(service);
    since += stepMs;
    if (since % MINUTE_MS === 0) await hear(service, well);
  }
}

async function told(service: OpenService, { latch, from }: Member, place = from): Promise<string> {
  const outcome = await ask(service, latch, BODY, place);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

const toldAll = async (service: OpenService, members: readonly Member[]) => {
  const answers: string[] = [];
  for (const member of members) answers.push(await told(service, member));
  return answers;
};

/** What the log says of sites, and of machines that are gone; it is verified first. */
async function log(service: OpenService): Promise<string[]> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  const bodies = (await audit.entries(0)).map(({ body }) => JSON.parse(String(body)) as Record<string, unknown>);
  return bodies
    .filter(({ kind }) => /^site-|^machine-gone|^machine-unlock/.test(String(kind)))
    .map(({ kind, name, silent, of, restart, by }) =>
      [
        kind,
        name,
        silent === undefined ? undefined : `${silent}/${of}`,
        restart && "restart",
        by === undefined ? by : `by ${by}`,
      ]
        .filter((part) => part !== undefined)
        .join(" "),
    );
}

const stateOf = async (service: OpenService, name: string) => {
  const machine = await service.store.transact((transaction) => transaction.machineByName(name));
  return machine?.goneIn == null ? machine?.state : `gone in ${machine.goneIn}`;
};

/** Ends a server, cleanly or not, and starts it anew on the same folder after so long. */
async function again(home: Home, before: OpenService, awayMs: number, isClean = true): Promise<OpenService> {
  if (isClean) await saveHeard(before, true);
  const nowMs = before.clock.nowMs + awayMs;
  await before[Symbol.asyncDispose]();
  return openService(home.folder, { nowMs });
}

const release = (service: OpenService, openMs = 60 * MINUTE_MS) =>
  releaseSite(service, "home", { rate: RATE, openMs, by: 7 });

test("a power cut is one event: the site is held, and one word lets it in, at a rate, from where it was", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 4);
  const [first, second, third, fourth] = members as [Member, Member, Member, Member];
  const notices: unknown[] = [];
  service.notices.deliverTo((notice) => notices.push(notice));
  await pass(service, TIMEOUT_MS + 10_000);
  assert.deepEqual(await log(service), ["site-hold 4/4"]);
  assert.deepEqual(notices, [{ type: "site.held", site: "home", silent: 4, of: 4 }]);
  assert.deepEqual(await toldAll(service, members), Array(4).fill("policy/site-held"));
  assert.equal(await stateOf(service, "m0"), "gone in 1");

  await release(service);
  assert.deepEqual(await toldAll(service, members), ["released", ...Array(3).fill("policy/site-full")]);
  assert.equal(await told(service, first), "released", "again: it counts once");
  service.clock.monotonicMs += 999;
  assert.equal(await told(service, second), "policy/site-full");
  service.clock.monotonicMs += 1;
  assert.equal(await told(service, second, "192.0.2.99"), "policy/other-place");
  assert.equal(await told(service, second), "released");
  service.clock.monotonicMs += 1000;
  assert.equal(await told(service, third), "released");
  for (const { machine, from } of [first, second, third]) {
    const session = await sessionOf(service, machine, from);
    assert.deepEqual(await beat(service, session, from), { isLocked: false, withinSeconds: 75 });
  }
  assert.equal(await stateOf(service, "m0"), "active");

  // The fourth was carried away, and comes back to nothing.
  await pass(service, 4 * MINUTE_MS);
  assert.equal(await told(service, fourth, "198.51.100.1"), "policy/other-place");
  const back = await Promise.all(
    [first, second, third].map(async (one) => ({ ...one, session: await sessionOf(service, one.machine, one.from) })),
  );
  await hear(service, back);
  await pass(service, 57 * MINUTE_MS, back);
  assert.deepEqual(await log(service), ["site-hold 4/4", "site-release by 7", "machine-gone m3", "site-end"]);
  assert.deepEqual(await toldAll(service, members), ["released", "released", "released", "machine/locked"]);
});

test("one that falls silent alone is locked, and its site goes on", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 3);
  const [thief, ...others] = members;
  await pass(service, TIMEOUT_MS + 10_000, others);
  assert.deepEqual(await log(service), ["machine-gone m0"]);
  assert.deepEqual(await toldAll(service, members), ["machine/locked", "released", "released"]);
  // Then the power fails: whoever was locked before is none of those who come back.
  await pass(service, TIMEOUT_MS + MINUTE_MS);
  await pass(service, 16 * MINUTE_MS);
  assert.deepEqual((await log(service)).slice(1), ["site-hold 2/2"]);
  await release(service);
  assert.equal(await told(service, thief as Member), "machine/locked");
  assert.equal(await told(service, others[0] as Member), "released");
});

test("an outage of the network locks nobody, and tells nobody to lock; after one word all is as ever", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 3);
  service.clock.monotonicMs += TIMEOUT_MS;
  service.clock.nowMs += TIMEOUT_MS;
  service.pulses.listenedMs = service.clock.monotonicMs;
  const [first, second, third] = members as [Member, Member, Member];
  // The first heartbeat comes before the server has looked.
  assert.deepEqual(await beat(service, first.session, first.from), { isLocked: false, withinSeconds: 75 });
  assert.deepEqual(await log(service), ["site-hold 3/3"]);
  await pass(service, 4_000, members);
  await hear(service, members);
  assert.deepEqual(await toldAll(service, members), Array(3).fill("policy/site-held"));
  await release(service);
  assert.deepEqual(await beat(service, first.session, first.from), { isLocked: false, withinSeconds: 75 });
  assert.equal(await stateOf(service, "m0"), "active");
  const moved = await sessionOf(service, second.machine, "203.0.113.5");
  assert.equal(await told(service, { ...second, from: "203.0.113.5" }), "policy/other-place");
  await beat(service, moved, "203.0.113.5");
  assert.equal(await stateOf(service, "m1"), "gone in 1", "it is heard from elsewhere");
  assert.equal(await told(service, { ...second, from: "203.0.113.5" }), "policy/other-place");
  await pass(service, 59 * MINUTE_MS + MINUTE_MS, [first, third]);
  assert.deepEqual((await log(service)).slice(2), ["machine-gone m1", "site-end"]);
  assert.equal(await told(service, third), "released");
});

test("a hold, and who is gone with it, are there after the server has crashed too", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const members = await makeSite(first, 3);
  await saveHeard(first, true); // as every half minute
  await pass(first, TIMEOUT_MS + 10_000);
  const second = await again(home, first, MINUTE_MS, false);
  assert.deepEqual(await toldAll(second, members), Array(3).fill("policy/site-held"));
  await pass(second, 20 * MINUTE_MS);
  assert.deepEqual(await log(second), ["site-hold 3/3"], "nobody is locked for the restart");
  await release(second);
  assert.equal(await told(second, members[0] as Member), "released");

  const third = await again(home, second, 10 * MINUTE_MS, false);
  const [one, two] = members as [Member, Member];
  assert.equal(await told(third, two), "policy/site-full", "the rate begins anew");
  third.clock.monotonicMs += 1000;
  assert.equal(await told(third, two, "192.0.2.99"), "policy/other-place");
  assert.equal(await told(third, two), "released");
  assert.equal(await told(third, one), "released", "let in before the restart: it counts no more");

  // The clock jumps: nobody is let in, nobody is locked.
  const fourth = await again(home, third, 365 * 1440 * MINUTE_MS, false);
  assert.deepEqual(await toldAll(fourth, members), Array(3).fill("policy/site-held"));
  await fourth[Symbol.asyncDispose]();
  await using fifth = await openService(home.folder, { nowMs: fourth.clock.nowMs });
  assert.deepEqual(await log(fifth), ["site-hold 3/3", "site-release by 7", "site-hold restart"]);
  assert.equal(await stateOf(fifth, "m2"), "gone in 1");
});

test("a key server whose own power failed holds its site when nothing comes back by itself", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const members = await makeSite(first, 3);
  await using second = await again(home, first, 30 * MINUTE_MS);
  await pass(second, TIMEOUT_MS + 10_000);
  assert.deepEqual(await log(second), ["site-hold 3/3"]);
  await release(second);
  assert.equal(await told(second, members[1] as Member), "released");
});

test("an address that only opened a session, and was not heard, is none that a machine was alive from", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 3);
  const [first, second, third] = members as [Member, Member, Member];
  await saveHeard(service, true);
  // Whoever sits in between has passed on a request for a session, and then cuts the lines.
  await sessionOf(service, first.machine, "203.0.113.5");
  await pass(service, TIMEOUT_MS + 10_000);
  await release(service);
  assert.equal(await told(service, first, "203.0.113.5"), "policy/other-place");
  assert.equal(await told(service, first), "released");
  await pass(service, 1000);
  assert.equal(await told(service, second), "released");
  // What is heard from elsewhere is alive there from then on.
  const moved = await sessionOf(service, second.machine, "203.0.113.6");
  await beat(service, moved, "203.0.113.6");
  await pass(service, 1000);
  assert.equal(await told(service, third), "released");
  for (const { machine, from } of [first, third]) await beat(service, await sessionOf(service, machine, from), from);
  await pass(service, TIMEOUT_MS + 10_000);
  await release(service);
  assert.equal(await told(service, second), "policy/other-place");
  await pass(service, 1000);
  assert.equal(await told(service, second, "203.0.113.6"), "released");
});

test("a window that the server has missed, since it was held up or its disk is full, is a hold again", async () => {
  using home = makeHome();
  const first = await openService(home.folder);
  const members = await makeSite(first, 3);
  await pass(first, TIMEOUT_MS + 10_000);
  await release(first);
  first.clock.monotonicMs += 61 * MINUTE_MS;
  listen(first, first.clock.monotonicMs);
  assert.deepEqual(await toldAll(first, members), Array(3).fill("policy/site-held"), "before that is written");
  await lockGone(first);
  await endSiteWindows(first);
  assert.deepEqual(await log(first), ["site-hold 3/3", "site-release by 7", "site-hold restart"]);
  await release(first);
  assert.equal(await told(first, members[0] as Member), "released");

  await using second = await again(home, first, MINUTE_MS);
  second.clock.nowMs += 61 * MINUTE_MS;
  const store = {
    transact: second.store.transact.bind(second.store),
    makeRoom: async () => false,
    holdRoom: async () => {},
  } as unknown as OpenService["store"];
  const full = () => Promise.reject(new NightlatchError("store/full", "the disk is full"));
  const queue = { submitFirst: full } as unknown as OpenService["queue"];
  const sites = new Sites();
  await resumeSites({ ...second, store, sites, queue });
  assert.equal(sites.of("home")?.state, "held", "the server starts, and nobody is released");
  assert.deepEqual(sites.missed, ["home"]);
  assert.equal((await log(second)).at(-1), "site-release by 7");
  await holdMissed({ ...second, sites });
  assert.equal((await log(second)).at(-1), "site-hold restart");
  assert.deepEqual(sites.missed, []);
});

test("a group that is made anew is no site of before, and a machine that is put into it counts anew", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const [first, second] = (await makeSite(service, 2)) as [Member, Member];
  for (const { name } of [first, second]) await setPolicy(service, name, { policy: "always", by: 0 });
  await holdSite(service, "home", ROOT);
  await release(service);
  assert.equal(await told(service, first), "released");
  await holdSite(service, "home", ROOT);
  for (const { name } of [first, second]) await moveMachine(service, name, null, ROOT);
  await removeGroup(service, "home", ROOT);
  await addGroup(service, "home", ROOT);
  for (const { name } of [first, second]) await moveMachine(service, name, "home", ROOT);
  assert.equal(await told(service, first), "released", "it is held no more");
  await holdSite(service, "home", ROOT);
  await release(service);
  assert.equal(await told(service, second), "released");
  assert.equal(await told(service, first), "policy/site-full");
  await log(service);
});

test("an operator holds a site by hand, whatever its machines' policies are", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 2);
  const [web, hsm] = members as [Member, Member];
  await setPolicy(service, "m0", { policy: "always", by: 0 });
  await setPolicy(service, "m1", { policy: "approval", by: 0 });
  await assert.rejects(release(service), { code: "site/not-held" });
  assert.equal((await holdSite(service, "home", ROOT)).changed, true);
  assert.equal((await holdSite(service, "home", ROOT)).changed, false);
  assert.deepEqual(await toldAll(service, members), Array(2).fill("policy/site-held"));
  const requests = await service.store.transact((transaction) => transaction.requests());
  assert.deepEqual(requests, [], "nobody is asked while it is held");
  await release(service, MINUTE_MS);
  assert.deepEqual(await toldAll(service, members), ["released", "policy/waits"]);
  await holdSite(service, "home", { by: 7 });
  assert.equal(await told(service, web), "policy/site-held", "a window is ended by a hold");
  await release(service, MINUTE_MS);
  await pass(service, MINUTE_MS);
  assert.equal(await told(service, hsm), "policy/waits");
  assert.deepEqual(await log(service), [
    "site-hold by 0",
    "site-release by 7",
    "site-hold by 7",
    "site-release by 7",
    "site-end",
  ]);
  await assert.rejects(holdSite(service, "default", ROOT), { code: "group/in-use" });
  await assert.rejects(holdSite(service, "elsewhere", ROOT), { code: "group/unknown" });
  await holdSite(service, "home", ROOT);
  for (const [rate, openMs] of [
    [{ count: 0, perMs: MINUTE_MS }, MINUTE_MS],
    [{ count: 10_001, perMs: MINUTE_MS }, MINUTE_MS],
    [{ count: 1.5, perMs: MINUTE_MS }, MINUTE_MS],
    [{ count: 1, perMs: 61_000 }, MINUTE_MS],
    [RATE, MINUTE_MS - 1],
    [RATE, 1440 * MINUTE_MS + 1],
  ] as const)
    await assert.rejects(releaseSite(service, "home", { rate, openMs, by: 0 }), { code: "site/bad-rate" });
});

test("a machine that is gone with its site is unlocked, locked or taken out alone", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const members = await makeSite(service, 4);
  const [first, second, third, fourth] = members as [Member, Member, Member, Member];
  await setPolicy(service, "m2", { policy: "alive", timeoutMs: TIMEOUT_MS, by: 0 });
  await hear(service, members);
  await pass(service, TIMEOUT_MS + 10_000);
  assert.equal((await changeMachine(service, "m0", { by: 0, change: "unlock" })).changed, true);
  assert.equal(await stateOf(service, "m0"), "active");
  assert.equal(await told(service, first), "policy/site-held", "its site is held all the same");
  await changeMachine(service, "m1", { by: 0, change: "lock" });
  await changeMachine(service, "m1", { by: 0, change: "unlock" });
  await moveMachine(service, "m2", null, ROOT);
  assert.equal(await told(service, third), "policy/not-alive");
  await release(service);
  assert.equal(await told(service, first, "203.0.113.9"), "released", "unlocked by a person: from anywhere");
  await pass(service, 1000);
  assert.equal(await told(service, second, "203.0.113.9"), "released");
  await pass(service, 1000);
  assert.equal(await told(service, fourth), "released");
  assert.equal(await told(service, third), "machine/locked", "taken out, it was silent alone");
  await changeMachine(service, "m3", { by: 0, change: "revoke" });
  await log(service);
});
