/** Every migration, and the power that goes while it is made. */
import assert from "node:assert/strict";
import { cpSync, existsSync } from "node:fs";
import { after, test } from "node:test";
import Database from "better-sqlite3";
import { verifyLog } from "../../../../../src/server/audit/verify.ts";
import { assembleService } from "../../../../../src/server/service/assemble.ts";
import { saveDays } from "../../../../../src/server/service/days.ts";
import { setPolicy } from "../../../../../src/server/service/policies/policies.ts";
import { changeMachine } from "../../../../../src/server/service/policies/states.ts";
import { openFolder } from "../../../../../src/server/store/folder/folder.ts";
import { storePath } from "../../../../../src/server/store/folder/paths.ts";
import { openAuditSource } from "../../../../../src/server/store/sqlite/audit-source.ts";
import { CELLS_VERSION, MIGRATIONS } from "../../../../../src/server/store/sqlite/migrations.ts";
import { Sqlite } from "../../../../../src/server/store/sqlite/sqlite.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";
import { Chance } from "../../../../simulation/chance.ts";
import { Crash, type CrashKind, SimulatedDisk } from "../../../../simulation/disk.ts";
import { ask, enrolled, makeHome, openService, type TestLatch, UID } from "../../../../support/server/harness.ts";
import { takeBack } from "../../../../support/server/old-store.ts";

const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
const BY = { by: 0 };
/** Versions before are wrapped anew on the way, in more steps than one: upgrade.test.ts. */
const OLD = Array.from({ length: MIGRATIONS.length - CELLS_VERSION }, (_, at) => CELLS_VERSION + at);

const home = makeHome();
after(() => home[Symbol.dispose]());
const latches = await (async () => {
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const { latch: locked } = await enrolled(service, "away");
  await ask(service, latch);
  await changeMachine(service, "away", { ...BY, change: "lock" });
  return { latch, locked };
})();

/** A disk with the store as that version left it. */
function diskWith(version: number, chance: Chance): SimulatedDisk {
  const disk = new SimulatedDisk(chance.named("disk"), () => {});
  disk.revive();
  for (const end of ["", ".id"]) {
    if (existsSync(`${home.folder}${end}`)) cpSync(`${home.folder}${end}`, `${disk.folder}${end}`, { recursive: true });
  }
  takeBack(disk.folder, version);
  return disk;
}

const open = (disk: SimulatedDisk, chance: Chance) =>
  openFolder(
    disk.system(Date.now, (count) => chance.bytes(count)),
    disk.folder,
    { uid: UID },
  );

function versionOf(disk: SimulatedDisk): number {
  const database = new Database(storePath(disk.folder), { readonly: true });
  const version = database.pragma("user_version", { simple: true });
  database.close();
  return Number(version);
}

/** The next start has all that there was. */
async function expectWhole(disk: SimulatedDisk, chance: Chance): Promise<void> {
  const opened = await open(disk, chance);
  try {
    const { nowMs, monotonicMs, sleep, random } = nodeSystem;
    const service = assembleService({ nowMs, monotonicMs, sleep, random }, opened);
    const told = async (latch: TestLatch) => (await ask(service, latch)).kind;
    assert.deepEqual([await told(latches.latch), await told(latches.locked)], ["released", "refused"]);
    const { audit } = opened.store;
    await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  } finally {
    await opened.store.close();
  }
  assert.equal(versionOf(disk), MIGRATIONS.length);
}

/** Cuts the power in the upgrade of a store. Gives the version that it was left with. */
async function cut(seed: string, version: number, kind: CrashKind): Promise<number> {
  const chance = new Chance(seed);
  using disk = diskWith(version, chance);
  disk.crashWithin(4, kind);
  try {
    await (await open(disk, chance)).store.close();
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  }
  disk.revive();
  const left = versionOf(disk);
  assert.ok(left === version || left === MIGRATIONS.length, `${version} was left as ${left}`);
  await expectWhole(disk, chance);
  return left;
}

test("the power goes while a store of any version is brought to this one: the next start has all of it", async () => {
  const left = { old: 0, new: 0 };
  for (const version of OLD) {
    for (let seed = 0; seed < (full ? 40 : 1); seed++) {
      for (const kind of ["kill", "power"] as const) {
        left[(await cut(`${version} ${seed} ${kind}`, version, kind)) === version ? "old" : "new"]++;
      }
    }
  }
  assert.ok(left.old > 0 && left.new > 0, "it went before the upgrade, and after it");
});

test("what was counted of a day is counted on: before version 12 it was in the latch's own row", async () => {
  for (const version of OLD.filter((old) => old >= 8)) {
    using counting = makeHome();
    const latch = await (async () => {
      await using service = await openService(counting.folder);
      const { latch } = await enrolled(service, "nas");
      await setPolicy(service, "nas", { ...BY, policy: "always", limits: { perDay: "2" } });
      assert.equal((await ask(service, latch)).kind, "released");
      await saveDays(service); // an older version did at once
      return latch;
    })();
    takeBack(counting.folder, version);
    await using service = await openService(counting.folder);
    const former = "select id from latch where day_ms is not null or day_count is not null";
    const database = new Database(storePath(counting.folder), { readonly: true });
    assert.deepEqual(database.prepare(former).all(), []);
    database.close();
    assert.equal((await ask(service, latch)).kind, "released");
    assert.deepEqual(await ask(service, latch), { kind: "refused", reason: "policy/day-used" });
    const { audit } = service.store;
    await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
  }
});

test("a store of another version is not read as one of this: it is said which it is", async () => {
  for (const version of OLD) {
    using old = makeHome();
    const path = storePath(old.folder);
    const upToDate = async () => (await openService(old.folder))[Symbol.asyncDispose]();
    await upToDate();
    takeBack(old.folder, version);
    const message = `the store has format ${version}, and is read in format ${MIGRATIONS.length} alone`;
    assert.throws(() => openAuditSource(path), { code: "store/older", message });
    await upToDate(); // what the error says to do
    openAuditSource(path)[Symbol.dispose]();
    setVersion(path, MIGRATIONS.length + 1);
    assert.throws(() => openAuditSource(path), { code: "store/newer" });
    setVersion(path, 0);
    assert.throws(() => openAuditSource(path), { code: "store/damaged", message: /not a store/ });
  }
});

function setVersion(path: string, version: number): void {
  const database = new Database(path);
  database.pragma(`user_version = ${version}`);
  database.close();
}

test("it would be found: a migration that is more than one transaction", async () => {
  const { run } = Sqlite.prototype;
  let found = false;
  Sqlite.prototype.run = function (this: Sqlite, query) {
    run.call(this, query);
    if (!/^(?:create|alter) /.test(query.compile().sql)) return;
    this.commit();
    this.begin();
  };
  try {
    for (let seed = 0; seed < 10 && !found; seed++) {
      await cut(`planted ${seed}`, CELLS_VERSION, "kill").catch((error: unknown) => {
        found = /SQLITE_ERROR/.test(String(error)); // what it adds is there already
        if (!found) throw error;
      });
    }
  } finally {
    Sqlite.prototype.run = run;
  }
  assert.ok(found);
});
