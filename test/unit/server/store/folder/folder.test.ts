import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { NightlatchError } from "../../../../../src/core/errors.ts";
import { indexLog } from "../../../../../src/server/service/log/latest.ts";
import { grantLease, setPolicy } from "../../../../../src/server/service/policies/policies.ts";
import { openFolder } from "../../../../../src/server/store/folder/folder.ts";
import type { FolderSystem } from "../../../../../src/server/store/folder/opening.ts";
import { removePlainMasterKey } from "../../../../../src/server/store/keys/master-file.ts";
import { MIGRATIONS } from "../../../../../src/server/store/sqlite/migrations.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";
import { faultySystem, PowerCut } from "../../../../support/faults.ts";
import {
  ask,
  enrolled,
  enrolWith,
  type Home,
  makeHome,
  makeInvite,
  newMachine,
  type OpenService,
  openService,
  recoveryBody,
  UID,
} from "../../../../support/server/harness.ts";
import { takeBack } from "../../../../support/server/old-store.ts";

async function made(): Promise<Home> {
  const home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  return home;
}

function refuses(home: Home, code: string, message: RegExp): Promise<void> {
  return assert.rejects(openService(home.folder), (error: Error & { code?: string; remedy?: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok((error.remedy ?? "").length > 0);
    return true;
  });
}

test("the first start makes a store that only its owner can read; the next ones open it", async () => {
  using home = makeHome();
  let storeId = "";
  {
    await using service = await openService(home.folder);
    assert.ok(service.created);
    assert.deepEqual(service.warnings, []);
    storeId = service.storeId;
  }
  assert.equal(statSync(home.folder).mode & 0o777, 0o700);
  for (const name of ["master.key", "cells", "store.sqlite", "lock"]) {
    assert.equal(statSync(join(home.folder, name)).mode & 0o777, 0o600, name);
  }
  const { root, ...record } = JSON.parse(readFileSync(`${home.folder}.id`, "utf8")) as Record<string, unknown>;
  assert.deepEqual(record, { store: storeId, state: "ready", size: 1 });
  assert.match(String(root), /^[\w+/]{43}=$/);
  await using service = await openService(home.folder);
  assert.ok(!service.created);
  assert.equal(service.storeId, storeId);
});

test("a folder that lost its store is refused, and nothing is made in it", async () => {
  using home = await made();
  rmSync(home.folder, { recursive: true });
  await refuses(home, "store/missing", /the store .{22} is gone/);
  assert.ok(!existsSync(home.folder));
  mkdirSync(home.folder, 0o700); // as a mount point whose mount has failed
  await refuses(home, "store/missing", /is gone/);
  assert.deepEqual(await nodeSystem.listDirectory(home.folder), []);
});

test("a master key that is missing, short, or another's is refused", async () => {
  using home = await made();
  const path = join(home.folder, "master.key");
  const key = readFileSync(path);
  rmSync(path);
  await refuses(home, "store/master-key", /is missing/);
  for (const wrong of [key.subarray(0, 31), Buffer.concat([key, Buffer.of(0)]), Buffer.alloc(0)]) {
    writeFileSync(path, wrong, { mode: 0o600 });
    await refuses(home, "store/master-key", /is not a master key/);
  }
  writeFileSync(path, Buffer.alloc(32, 7));
  await refuses(home, "store/master-key", /is not the one of this store/);
  writeFileSync(path, key);
  await using service = await openService(home.folder);
  assert.ok(!service.created);
});

test("a sealed master key comes first; the power may go at each step of the plain one's removal", async () => {
  using home = await made();
  const credentials = join(home.path, "credentials");
  mkdirSync(credentials);
  copyFileSync(join(home.folder, "master.key"), join(credentials, "nightlatch-server.master.key"));
  for (let at = 1; ; at++) {
    const system = faultySystem(nodeSystem, { at, when: at % 2 === 0 ? "during" : "after" });
    await removePlainMasterKey(system, home.folder).catch((error: unknown) => assert.ok(error instanceof PowerCut));
    const opened = await openFolder(nodeSystem, home.folder, { uid: UID, credentials });
    await opened.store.close();
    assert.equal(opened.masterSource, "credential");
    if (!system.wasCut) break;
    assert.ok(at < 10);
  }
  await refuses(home, "store/master-key", /is missing/);
  writeFileSync(join(credentials, "nightlatch-server.master.key"), Buffer.alloc(32, 3));
  await assert.rejects(openFolder(nodeSystem, home.folder, { uid: UID, credentials }), { code: "store/master-key" });
});

test("the power goes at any step of the first start: the next one finishes it", async () => {
  for (let at = 1; ; at++) {
    let wasCut = false;
    for (const when of ["before", "during", "after"] as const) {
      using home = makeHome();
      const system = faultySystem(nodeSystem, { at, when });
      const opened = await openFolder(system, home.folder, { uid: UID }).catch((error: unknown) => {
        assert.ok(error instanceof PowerCut, String(error));
        return null;
      });
      await opened?.store.close().catch(() => {});
      wasCut = system.wasCut;
      await using service = await openService(home.folder);
      const { latch } = await enrolled(service, "nas");
      assert.equal((await ask(service, latch)).kind, "released");
    }
    if (!wasCut) break;
    assert.ok(at < 40);
  }
});

test("another store in its place is refused", async () => {
  using home = await made();
  using other = await made();
  for (const name of ["master.key", "store.sqlite"]) copyFileSync(join(other.folder, name), join(home.folder, name));
  await refuses(home, "store/other", /holds the store .{22}, this server had .{22}/);
});

test("an emptied, foreign, damaged or newer store is refused", async () => {
  using home = await made();
  const path = join(home.folder, "store.sqlite");
  const whole = readFileSync(path);
  truncateSync(path, 0);
  await refuses(home, "store/damaged", /it is empty, or not a store/);
  writeFileSync(path, "no database at all, but long enough for a header of SQLite: ".repeat(40));
  await refuses(home, "store/damaged", /is damaged \(SQLITE_NOTADB\)/);
  writeFileSync(path, whole);
  const database = new Database(path);
  database.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  database.close();
  await refuses(
    home,
    "store/newer",
    new RegExp(`has format ${MIGRATIONS.length + 1}, this version knows up to ${MIGRATIONS.length}`),
  );
  writeFileSync(path, whole);
  await using service = await openService(home.folder);
  assert.ok(!service.created);
});

test("a store of the version before has its invites and its last releases after the upgrade", async () => {
  using home = makeHome();
  const before = { line: "", from: "192.0.2.9" };
  {
    await using service = await openService(home.folder);
    const { latch } = await enrolled(service, "nas");
    await ask(service, latch, recoveryBody(), before.from);
    before.line = await makeInvite(service, "web");
    await indexLog(service);
  }
  takeBack(home.folder, 3);
  await using service = await openService(home.folder);
  assert.equal(await indexLog(service), 0);
  const releases = await service.store.transact((transaction) => transaction.lastReleases());
  assert.deepEqual(
    releases.map(({ body }) => (JSON.parse(String(body)) as { from: string }).from),
    [before.from],
  );
  assert.equal(typeof (await enrolWith(service, newMachine(), before.line)), "object");
});

test("a lease that was open before there were approvals is open after the upgrade", async () => {
  using home = makeHome();
  const { latch, at } = await (async () => {
    await using service = await openService(home.folder);
    const { latch } = await enrolled(service, "nas");
    await setPolicy(service, "nas", { policy: "lease", by: 0 });
    await grantLease(service, "nas", { lifetimeMs: 900_000, graceMs: 0, by: 0 });
    return { latch, at: service.clock.nowMs };
  })();
  takeBack(home.folder, 5);
  await using service = await openService(home.folder);
  service.clock.nowMs = at;
  assert.equal((await ask(service, latch, recoveryBody(), "192.0.2.9")).kind, "released");
  assert.deepEqual(await ask(service, latch), { kind: "refused", reason: "policy/lease-used" });
});

test("a start writes every page anew where keys were destroyed and not yet overwritten, and else leaves them as they are", async () => {
  using home = await made();
  const path = join(home.folder, "store.sqlite");
  const open = async (act: (service: OpenService) => Promise<void>) => {
    await using service = await openService(home.folder);
    await act(service);
  };
  const owed = () => {
    const database = new Database(path, { readonly: true });
    const row = database.prepare("select owed from scrub").get() as { owed: number };
    database.close();
    return row.owed;
  };
  await open(async () => {});
  const clean = readFileSync(path);
  await open(async () => {});
  assert.deepEqual(readFileSync(path), clean);
  assert.equal(owed(), 0);

  // The power goes between the revocation's commit and what should follow it.
  let wrapped: Buffer = Buffer.alloc(0);
  await open(async ({ store }) => {
    await store.transact(async (transaction) => {
      const [machine] = await transaction.machines();
      const [latch] = await transaction.latchesOf(machine?.id ?? "");
      const [key] = await transaction.keys(latch?.id ?? "");
      wrapped = key?.wrapped ?? wrapped;
      await transaction.destroyKeys(latch?.id ?? "");
    });
  });
  assert.equal(owed(), 1);
  await open(async () => {});
  assert.equal(owed(), 0);
  assert.equal(wrapped.length, 60);
  for (const name of readdirSync(home.folder))
    assert.ok(!readFileSync(join(home.folder, name)).includes(wrapped), name);
});

test("a log that does not end where its checkpoint says is refused", async () => {
  using home = await made();
  const path = join(home.folder, "store.sqlite");
  for (const edit of [
    "delete from entry where number = (select max(number) from entry)",
    "delete from checkpoint where size = (select max(size) from checkpoint)",
    "update checkpoint set signature = zeroblob(64)",
    "update tree set size = size - 1",
  ]) {
    copyFileSync(path, `${path}.whole`);
    const database = new Database(path);
    database.exec(edit);
    database.close();
    await refuses(home, "store/damaged", /audit/);
    copyFileSync(`${path}.whole`, path);
    rmSync(`${path}.whole`);
  }
});

test("files that others can read, or that are another user's, are refused", async () => {
  using home = await made();
  for (const name of ["", "master.key", "cells", "store.sqlite"]) {
    const path = join(home.folder, name);
    const mode = statSync(path).mode & 0o777;
    chmodSync(path, mode | 0o040);
    await refuses(home, "store/permissions", /is open to other users/);
    chmodSync(path, mode);
  }
  await assert.rejects(openFolder(nodeSystem, home.folder, { uid: UID + 1 }), {
    code: "store/permissions",
    message: `${home.folder} belongs to user ${UID}, this server runs as ${UID + 1}`,
  });
});

test("a store that is a symbolic link is refused", async () => {
  using home = await made();
  const [path, elsewhere] = [join(home.folder, "store.sqlite"), join(home.path, "elsewhere.sqlite")];
  renameSync(path, elsewhere);
  symlinkSync(elsewhere, path);
  await refuses(home, "store/permissions", /store\.sqlite is a symbolic link/);
  assert.deepEqual(readdirSync(home.path).sort(), ["data", "data.id", "elsewhere.sqlite"], "SQLite never opened it");
});

test("a folder that holds something else is refused", async () => {
  using home = makeHome();
  mkdirSync(home.folder, 0o700);
  writeFileSync(join(home.folder, "holiday.jpg"), "");
  await refuses(home, "store/not-empty", /holds other files \(holiday\.jpg\)/);
  assert.deepEqual(await nodeSystem.listDirectory(home.folder), ["holiday.jpg"]);
});

test("a store whose record was lost is taken up again, with a word", async () => {
  using home = await made();
  rmSync(`${home.folder}.id`);
  {
    await using service = await openService(home.folder);
    assert.match(service.warnings.join(), /held a store that was not known here/);
  }
  assert.ok(existsSync(`${home.folder}.id`));
});

test("a record that is damaged is refused", async () => {
  using home = await made();
  for (const text of [
    "",
    "{}",
    '{"store":"x","state":"ready"}',
    '{"store":"ABEiM0RVZneImaq7zN3u_w","state":"lost"}',
    "null",
    '{"store":"ABEiM0RVZneImaq7zN3u_w","state":"ready","size":1}',
    '{"store":"ABEiM0RVZneImaq7zN3u_w","state":"ready","size":1.5,"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}',
  ]) {
    writeFileSync(`${home.folder}.id`, text);
    await refuses(home, "store/damaged", /is not a store's record/);
  }
  writeFileSync(`${home.folder}.id`, '{"store":"ABEiM0RVZneImaq7zN3u_w","state":"ready"}');
  await refuses(home, "store/other", /holds the store .{22}, this server had ABEiM0RVZneImaq7zN3u_w/);
});

test("where the record cannot lie beside the folder it lies inside, with a warning", async () => {
  using home = makeHome();
  const readonlyBeside: FolderSystem = {
    ...nodeSystem,
    writeFile: async (path, bytes, mode) => {
      if (path === `${home.folder}.id`) throw new NightlatchError("file/denied", `${path} may not be opened (EROFS)`);
      await nodeSystem.writeFile(path, bytes, mode);
    },
  };
  const opened = await openFolder(readonlyBeside, home.folder, { uid: UID });
  await opened.store.close();
  assert.equal(opened.warnings.length, 1);
  assert.match(
    String(opened.warnings[0]),
    /lies inside the data folder, because .*data\.id could not be written.*older copy/,
  );
  assert.ok(existsSync(join(home.folder, "store.id")));
  await using service = await openService(home.folder);
  assert.equal(service.storeId, opened.storeId);
  assert.deepEqual(service.warnings, opened.warnings, "at every start");
});

test("a first start that is cut short at any step is finished by the next one", async () => {
  for (let steps = 0; ; steps++) {
    using home = makeHome();
    let left = steps;
    const step = () => {
      if (left-- <= 0) throw new Error("the power went");
    };
    const failing: FolderSystem = {
      ...nodeSystem,
      makeDirectory: async (path, mode) => {
        step();
        await nodeSystem.makeDirectory(path, mode);
      },
      writeFile: async (path, bytes, mode) => {
        step();
        await nodeSystem.writeFile(path, bytes, mode);
        step();
      },
      nowMs: () => {
        step(); // right before the store's own transaction
        return nodeSystem.nowMs();
      },
    };
    const outcome = await openFolder(failing, home.folder, { uid: UID }).then(
      async (opened) => {
        await opened.store.close();
        return true;
      },
      () => false,
    );
    await using service = await openService(home.folder);
    const { latch } = await enrolled(service, "nas");
    assert.equal((await ask(service, latch)).kind, "released");
    if (outcome) break;
    assert.ok(steps < 20);
  }
});

test("one server at a time: the second is told of the first", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await refuses(home, "store/busy", new RegExp(`another server has this store open \\(process ${process.pid}\\)`));
  assert.ok(service.created);
});

test("a server that stops does what was asked before, and refuses what comes late", async () => {
  using home = makeHome();
  const service = await openService(home.folder);
  await enrolled(service, "nas");
  const [early, ending] = [makeInvite(service, "pi"), service.store.close()];
  await early;
  await ending;
  for (const late of [makeInvite(service, "vps"), service.store.transact((transaction) => transaction.tree())])
    await assert.rejects(late, { code: "store/closed" });
  await using again = await openService(home.folder);
  await assert.rejects(makeInvite(again, "nas"), { code: "machine/exists" });
});
