import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { uninvite } from "../../../../src/server/service/latches/invite.ts";
import { addGroup, moveMachine, removeGroup, setGroupPolicy } from "../../../../src/server/service/policies/groups.ts";
import { grantLease, setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import {
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
import { beat, sessionOf } from "../../../support/server/heartbeats.ts";

const ROOT = { by: 0 };
const OPERATOR = { by: 7, mayLoosen: false };

async function verify(service: OpenService): Promise<void> {
  const { audit } = service.store;
  await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
}

/** A machine's policy, its limits, and of whom they were said. */
async function saidOf(service: OpenService, name: string): Promise<string> {
  const machine = await service.store.transact((transaction) => transaction.machineByName(name));
  if (machine === null) return "none";
  const { policy, limits, source } = machine;
  return `${policy}${limits === null ? "" : ` ${limits}`} of ${source}`;
}

async function told(service: OpenService, latch: TestLatch): Promise<string> {
  const outcome = await ask(service, latch);
  return outcome.kind === "refused" ? outcome.reason : outcome.kind;
}

const HOUR_MS = 3_600_000;

/** What the log says of a machine, in one kind of entry. */
async function logged(service: OpenService, kind: string): Promise<Record<string, unknown>[]> {
  const bodies = (await service.store.audit.entries(0)).map(({ body }) => JSON.parse(String(body)));
  return bodies.filter((entry) => entry.kind === kind);
}

test("who is invited into a group is there from the start, and is released by what is said there", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await addGroup(service, "home", ROOT);
  await setGroupPolicy(service, "home", { policy: "lease", by: 0 });
  const invited = async (name: string) =>
    enrolWith(service, newMachine(), await makeInvite(service, name, HOUR_MS, { group: "home" }));
  const latch = await invited("nas");
  assert.ok(typeof latch !== "string");
  assert.equal(await saidOf(service, "nas"), "lease of group");
  assert.equal(await told(service, latch), "policy/no-lease");
  assert.deepEqual(
    [...(await logged(service, "invite")), ...(await logged(service, "enrol"))].map(({ group }) => group),
    ["home", "home"],
  );
  await verify(service);

  // Nothing is said of the group any more; and of what is said once it has come it hears at once.
  await setGroupPolicy(service, "home", { policy: "inherit", by: 0 });
  assert.equal(await saidOf(service, "nas"), "always of default");
  await invited("web");
  assert.equal(await saidOf(service, "web"), "always of default");
  await setGroupPolicy(service, "home", { policy: "approval", by: 0 });
  assert.deepEqual([await saidOf(service, "nas"), await saidOf(service, "web")], Array(2).fill("approval of group"));
  await verify(service);

  // It has the time of a boot to be heard in, as any that is new.
  await setGroupPolicy(service, "home", { policy: "inherit", by: 0 });
  await addGroup(service, "alive", ROOT);
  await setGroupPolicy(service, "alive", { policy: "alive", timeoutMs: 60_000, by: 0 });
  const line = await makeInvite(service, "late", HOUR_MS, { group: "alive" });
  const late = await enrolWith(service, newMachine(), line);
  assert.equal(await told(service, late as TestLatch), "released");
  await verify(service);
});

test("an invite into a group is refused as joining it would be, and the group is not removed before it is used", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const into = (group: string, mayLoosen = true) => makeInvite(service, "nas", HOUR_MS, { group, mayLoosen });
  await assert.rejects(into("home"), { code: "group/unknown" });
  await assert.rejects(into("default"), { code: "group/in-use" });
  await addGroup(service, "home", ROOT);
  await setGroupPolicy(service, "default", { policy: "lease", by: 0 });
  await setGroupPolicy(service, "home", { policy: "always", by: 0 });
  await assert.rejects(into("home", false), { code: "admin/denied" });
  assert.deepEqual(await logged(service, "invite"), []);
  const line = await into("home");
  await assert.rejects(removeGroup(service, "home", ROOT), { code: "group/in-use", message: /^nas is invited/ });
  await uninvite(service, { name: "nas", by: 0 });
  assert.equal((await removeGroup(service, "home", ROOT)).changed, true);
  assert.equal(await enrolWith(service, newMachine(), line), "invite/expired");
  await setGroupPolicy(service, "default", { policy: "always", by: 0 });
  await addGroup(service, "tight", ROOT);
  await setGroupPolicy(service, "tight", { policy: "lease", by: 0 });
  await into("tight", false);
  await verify(service);
  const database = new Database(join(home.folder, "store.sqlite"));
  database.exec("update invite set in_group = 'other' where state = 'open'");
  database.close();
  await assert.rejects(verify(service), { code: "audit/broken", message: /^the group of invite / });
});

test("a machine that is known stays where operators have put it, whatever its invite says", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  for (const name of ["home", "other"]) await addGroup(service, name, ROOT);
  const machine = newMachine();
  const first = await makeInvite(service, "nas", HOUR_MS, { group: "home" });
  await enrolWith(service, machine, first);
  await moveMachine(service, "nas", "other", ROOT);
  assert.equal(
    typeof (await enrolWith(service, machine, first)),
    "object",
    "an invite that it has used gets it one more latch",
  );
  const row = await service.store.transact((transaction) => transaction.machineByName("nas"));
  assert.equal(row?.group, "other");
  await verify(service);
});

test("what is said of a group holds for its machines at once, but for what was said of one itself", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await enrolled(service, "web");
  await setPolicy(service, "web", { policy: "always", limits: { perDay: "4" }, by: 0 });
  assert.equal((await addGroup(service, "home", ROOT)).changed, true);
  assert.equal((await addGroup(service, "home", ROOT)).changed, false);
  await moveMachine(service, "nas", "home", ROOT);
  await moveMachine(service, "web", "home", ROOT);
  assert.equal(await saidOf(service, "nas"), "always of default", "nothing is said of the group yet");
  const { changed, machines } = await setGroupPolicy(service, "home", {
    policy: "lease",
    limits: { perDay: "9" },
    by: 0,
  });
  assert.deepEqual([changed, machines], [true, 2]);
  assert.equal(await saidOf(service, "nas"), "lease per-day 9 of group");
  assert.equal(await saidOf(service, "web"), "always per-day 4 of machine");
  assert.equal(await told(service, latch), "policy/no-lease");
  assert.equal((await setGroupPolicy(service, "home", { policy: "lease", by: 0 })).changed, false);
  await grantLease(service, "nas", { lifetimeMs: 900_000, graceMs: 0, by: 0 });
  await setGroupPolicy(service, "home", { policy: "approval", by: 0 });
  assert.equal(await saidOf(service, "nas"), "approval per-day 9 of group", "limits stay where they are left off");
  assert.equal(await told(service, latch), "policy/waits", "the lease is void");

  await setPolicy(service, "nas", { policy: "lease", by: 0 });
  assert.equal(await saidOf(service, "nas"), "lease per-day 9 of machine");
  await setGroupPolicy(service, "home", { policy: "always", limits: { perDay: "any" }, by: 0 });
  assert.equal(await saidOf(service, "nas"), "lease per-day 9 of machine");
  await setPolicy(service, "nas", { policy: "inherit", by: 0 });
  await setPolicy(service, "web", { policy: "inherit", by: 0 });
  assert.equal(await saidOf(service, "nas"), "always of group");
  assert.equal(await saidOf(service, "web"), "always of group");
  await verify(service);
});

test("a machine that leaves its group, or whose group says nothing any more, gets what new ones do", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  await enrolled(service, "old");
  for (const name of ["home", "away"]) await addGroup(service, name, ROOT);
  await moveMachine(service, "nas", "home", ROOT);
  await setGroupPolicy(service, "home", { policy: "lease", by: 0 });
  await setGroupPolicy(service, "default", { policy: "always", limits: { hours: "08:00-18:00" }, by: 0 });
  assert.equal(await saidOf(service, "old"), "always of default", "what is there stays as it is");
  await enrolled(service, "new");
  assert.equal(await saidOf(service, "new"), "always hours 08:00-18:00 of default");
  await moveMachine(service, "old", "away", ROOT);
  assert.equal(await saidOf(service, "old"), "always of default");
  await setGroupPolicy(service, "home", { policy: "inherit", by: 0 });
  assert.equal(await saidOf(service, "nas"), "always hours 08:00-18:00 of default");
  await setGroupPolicy(service, "home", { policy: "lease", by: 0 });
  assert.equal(await saidOf(service, "nas"), "lease hours 08:00-18:00 of group");
  await moveMachine(service, "nas", "away", ROOT);
  assert.equal(await saidOf(service, "nas"), "always hours 08:00-18:00 of default");
  await moveMachine(service, "nas", null, ROOT);
  assert.equal((await moveMachine(service, "nas", null, ROOT)).changed, false);

  await moveMachine(service, "nas", "home", ROOT);
  await assert.rejects(removeGroup(service, "home", ROOT), { code: "group/in-use" });
  await changeMachine(service, "nas", { by: 0, change: "revoke" });
  await removeGroup(service, "home", ROOT);
  await assert.rejects(removeGroup(service, "home", ROOT), { code: "group/unknown" });
  await assert.rejects(removeGroup(service, "default", ROOT), { code: "group/in-use" });
  await assert.rejects(moveMachine(service, "new", "default", ROOT), { code: "group/in-use" });
  await assert.rejects(moveMachine(service, "nas", "away", ROOT), { code: "machine/revoked" });
  await assert.rejects(moveMachine(service, "new", "home", ROOT), { code: "group/unknown" });
  await assert.rejects(setGroupPolicy(service, "default", { policy: "inherit", by: 0 }), { code: "policy/bad-terms" });
  for (const name of ["", "a b", "-x", "x".repeat(65)])
    await assert.rejects(addGroup(service, name, ROOT), { code: "group/bad-name" });
  await verify(service);
});

test("a group is put under alive as a whole or not at all, and new machines have the time of a boot", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine } = await enrolled(service, "nas");
  await enrolled(service, "web");
  await addGroup(service, "home", ROOT);
  for (const name of ["nas", "web"]) await moveMachine(service, name, "home", ROOT);
  await beat(service, await sessionOf(service, machine));
  const alive = { policy: "alive", timeoutMs: 300_000, by: 0 } as const;
  await assert.rejects(setGroupPolicy(service, "home", alive), { code: "alive/not-heard" });
  assert.equal(await saidOf(service, "nas"), "always of default");
  const number = service.pulses.find(machine.id) ?? 0;
  assert.equal(service.pulses.pulseOf(number), null, "nothing is remembered of what did not come about");
  await setGroupPolicy(service, "default", alive);
  const { latch } = await enrolled(service, "new");
  assert.equal(await told(service, latch), "released");
  service.clock.monotonicMs += 900_000;
  service.pulses.listenedMs = service.clock.monotonicMs;
  assert.equal(await told(service, latch), "policy/not-alive");
  await verify(service);
});

test("what releases more than before is root's, of a group too, and by way of one", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  for (const name of ["strict", "open", "plain"]) await addGroup(service, name, OPERATOR);
  await moveMachine(service, "nas", "strict", OPERATOR);
  await setGroupPolicy(service, "strict", { policy: "lease", ...OPERATOR });
  const denied = { code: "admin/denied" };
  await assert.rejects(setGroupPolicy(service, "strict", { policy: "always", ...OPERATOR }), denied);
  await assert.rejects(setGroupPolicy(service, "strict", { policy: "inherit", ...OPERATOR }), denied);
  await setGroupPolicy(service, "open", { policy: "always", ...OPERATOR });
  await assert.rejects(moveMachine(service, "nas", "open", OPERATOR), denied);
  await assert.rejects(moveMachine(service, "nas", "plain", OPERATOR), denied);
  await assert.rejects(moveMachine(service, "nas", null, OPERATOR), denied);
  await setPolicy(service, "nas", { policy: "approval", by: 7, mayLoosen: false });
  await assert.rejects(setPolicy(service, "nas", { policy: "inherit", by: 7, mayLoosen: false }), denied);
  await setGroupPolicy(service, "default", { policy: "lease", ...OPERATOR });
  await assert.rejects(setGroupPolicy(service, "default", { policy: "always", ...OPERATOR }), denied);
  assert.equal(await saidOf(service, "nas"), "approval of machine");
  await verify(service);
});

test("a group, or of whom a policy was said, that is changed beside the log is found", async () => {
  using home = makeHome();
  {
    await using service = await openService(home.folder);
    await enrolled(service, "nas");
    await addGroup(service, "home", ROOT);
    await moveMachine(service, "nas", "home", ROOT);
    await setGroupPolicy(service, "home", { policy: "lease", by: 0 });
    await verify(service);
  }
  for (const [change, back] of [
    ["update machine set source = 'machine'", "update machine set source = 'group'"],
    ["update machine set in_group = null", "update machine set in_group = 'home'"],
    [
      "update machine_group set policy = 'always' where name = 'home'",
      "update machine_group set policy = 'lease' where name = 'home'",
    ],
    ["update machine_group set limits = 'per-day 4'", "update machine_group set limits = null"],
    ["update machine_group set site = 'held'", "update machine_group set site = 'free'"],
  ] as const) {
    using database = openDatabase(`${home.folder}/store.sqlite`);
    database.exec(change);
    {
      await using service = await openService(home.folder);
      await assert.rejects(verify(service), { code: "audit/broken" }, change);
    }
    database.exec(back);
    await using service = await openService(home.folder);
    await verify(service);
  }
});

function openDatabase(path: string) {
  const database = new Database(path);
  return { exec: (sql: string) => database.exec(sql), [Symbol.dispose]: () => void database.close() };
}
