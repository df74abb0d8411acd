/**
 * What a revocation destroys, whatever lies about: older copies of the store and of the cells, and
 * the power that goes in between.
 */
import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { parseInvite } from "../../../../src/formats/own/invite.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import { changeLatch, changeMachine } from "../../../../src/server/service/policies/states.ts";
import { openFolder } from "../../../../src/server/store/folder/folder.ts";
import { storePath } from "../../../../src/server/store/folder/paths.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { faultySystem } from "../../../support/faults.ts";
import { type Found, opensWithFolder, readCells } from "../../../support/server/carve.ts";
import {
  addLatchTo,
  ask,
  enrolled,
  enrolWith,
  type Home,
  makeHome,
  makeInvite,
  newMachine,
  type OpenService,
  openService,
  type TestLatch,
  UID,
} from "../../../support/server/harness.ts";

const BY = { by: 0 };

async function wrappedOf(service: OpenService, { latchId }: TestLatch): Promise<Found[]> {
  const keys = await service.store.transact((transaction) => transaction.keys(latchId));
  return keys.map(({ purpose, epoch, wrapped }) => ({ context: { id: latchId, purpose, epoch }, bytes: wrapped }));
}

interface Fleet extends Home {
  readonly latches: TestLatch[];
  readonly found: Found[][];
}

async function fleet(): Promise<Fleet> {
  const home = makeHome();
  await using service = await openService(home.folder);
  const latches: TestLatch[] = [];
  for (const name of ["nas", "pi", "vps"]) {
    const { machine, latch } = await enrolled(service, name);
    latches.push(latch, (await addLatchTo(service, machine)) as TestLatch);
  }
  const found: Found[][] = [];
  for (const latch of latches) found.push(await wrappedOf(service, latch));
  return { ...home, latches, found };
}

function expectOpens({ folder }: Home, found: readonly Found[] | undefined, expected: boolean): void {
  assert.equal(found?.length, 2);
  for (const each of found ?? []) assert.equal(opensWithFolder(folder, each), expected, JSON.stringify(each.context));
}

function cellOf(folder: string, latchId: string): number {
  const database = new Database(storePath(folder), { readonly: true });
  const row = database.prepare("select cell from latch where id = ?").get(latchId) as { cell: number };
  database.close();
  return row.cell;
}

test("a latch or a machine that is revoked: its older bytes open with nothing, all others with what there is", async () => {
  using home = await fleet();
  await using service = await openService(home.folder);
  for (const found of home.found) expectOpens(home, found, true);
  const [first] = home.latches;
  await changeLatch(service, first?.latchId ?? "", { ...BY, change: "revoke" });
  await changeMachine(service, "vps", { ...BY, change: "revoke" });
  await changeMachine(service, "pi", { ...BY, change: "lock" });
  for (const [index, found] of home.found.entries()) expectOpens(home, found, ![0, 4, 5].includes(index));
});

test("a reader that keeps bytes in the files does not keep their cells from being emptied", async () => {
  using home = await fleet();
  await using service = await openService(home.folder);
  const reader = new Database(storePath(home.folder), { readonly: true });
  reader.exec("begin");
  reader.prepare("select count(*) from latch_key").get();
  const done = await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.deepEqual([done.destroyed, done.scrubbed], [true, false]);
  expectOpens(home, home.found[0], false);
  expectOpens(home, home.found[1], false);
  reader.close();
  await keepHouse(service);
  assert.ok(!service.store.needsScrub);
});

test("the power goes at any step of a revocation: once it is in the log, the next start destroys it", async () => {
  using whole = await fleet();
  const [latch] = whole.latches;
  assert.ok(latch !== undefined);
  const seen = new Set<string>();
  for (let at = 1; ; at++) {
    let wasCut = false;
    for (const when of ["before", "during", "after"] as const) {
      const folder = join(whole.path, `${at}-${when}`);
      cpSync(whole.folder, folder, { recursive: true });
      cpSync(`${whole.folder}.id`, `${folder}.id`);
      const started = faultySystem(nodeSystem, { at: Number.POSITIVE_INFINITY, when });
      await (await openFolder(started, folder, { uid: UID })).store.close();
      const system = faultySystem(nodeSystem, { at: started.steps.length + at, when });
      const crash = `${folder}-crash`;
      await revokeUntilCut(system, folder, latch, crash);
      wasCut = system.wasCut;
      const next = { ...whole, folder: crash };
      {
        await using service = await openService(crash);
        assert.deepEqual(await ask(service, latch), { kind: "refused", reason: "latch/revoked" });
        for (const other of whole.latches.slice(1)) assert.equal((await ask(service, other)).kind, "released");
      }
      expectOpens(next, whole.found[0], false);
      expectOpens(next, whole.found[1], true);
      for (const step of system.steps) seen.add(step.replaceAll(/^.*\/(\w+)(?: at \d+)?$/g, "$1"));
    }
    if (!wasCut) break;
    assert.ok(at < 30);
  }
  assert.ok(seen.has("cells"));
});

/** A latch's revocation, and after the cut what lies on the disk then, in another folder. */
async function revokeUntilCut(
  system: ReturnType<typeof faultySystem>,
  folder: string,
  latch: TestLatch,
  crash: string,
): Promise<void> {
  const { store } = await openFolder(system, folder, { uid: UID });
  const revoke = store.transact(async (transaction) => {
    await transaction.destroyKeys(latch.latchId);
    await transaction.setLatch(latch.latchId, "revoked");
  });
  await revoke
    .then(
      () => store.recordProgress(),
      () => {},
    )
    .catch(() => {});
  cpSync(folder, crash, { recursive: true });
  if (existsSync(`${folder}.id`)) cpSync(`${folder}.id`, `${crash}.id`);
  rmSync(join(crash, "store.sqlite-shm"), { force: true });
  await store.close().catch(() => {});
}

test("an older copy of the cells, put back: what was revoked since is destroyed again at the start", async () => {
  using home = await fleet();
  const copy = join(home.path, "cells");
  copyFileSync(join(home.folder, "cells"), copy);
  {
    await using service = await openService(home.folder);
    await changeMachine(service, "nas", { ...BY, change: "revoke" });
  }
  copyFileSync(copy, join(home.folder, "cells"));
  expectOpens(home, home.found[0], true);
  {
    await using service = await openService(home.folder);
    assert.deepEqual(service.warnings, []);
    assert.equal((await ask(service, home.latches[2] as TestLatch)).kind, "released");
  }
  expectOpens(home, home.found[0], false);
});

test("an older copy of the store alone does not bring back what was revoked since", async () => {
  using home = await fleet();
  const line = await (async () => {
    await using service = await openService(home.folder);
    return await makeInvite(service, "next");
  })();
  const copy = join(home.path, "store.sqlite");
  copyFileSync(storePath(home.folder), copy);
  const later: TestLatch[] = [];
  {
    await using service = await openService(home.folder);
    await changeMachine(service, "nas", { ...BY, change: "revoke" });
    later.push((await enrolWith(service, newMachine(), line)) as TestLatch);
    later.push((await enrolled(service, "later")).latch);
  }
  copyFileSync(copy, storePath(home.folder));
  await assert.rejects(openService(home.folder), { code: "store/rolled-back" });
  await using service = await openService(home.folder, { acceptRollback: true });
  for (const [index, latch] of home.latches.entries()) {
    const outcome = await ask(service, latch);
    if (index < 2) assert.deepEqual(outcome, { kind: "refused", reason: "latch/revoked" });
    else assert.equal(outcome.kind, "released");
  }
  assert.equal(await enrolWith(service, newMachine(), line), "invite/expired", "the invite was used up");
  const { latch } = await enrolled(service, "again");
  assert.equal((await ask(service, latch)).kind, "released");
  for (const index of [0, 1]) expectOpens(home, home.found[index], false);
});

test("cells that are missing, another store's or older than the latches are told of", async () => {
  using home = await fleet();
  const path = join(home.folder, "cells");
  const cells = readFileSync(path);
  rmSync(path);
  const refused = (message: RegExp) =>
    assert.rejects(openService(home.folder), (error: Error & { code?: string; remedy?: string }) => {
      assert.equal(error.code, "store/cells");
      assert.match(error.message, message);
      assert.match(error.remedy ?? "", /^Restore /);
      return true;
    });
  await refused(/cells is missing/);
  assert.ok(!existsSync(path), "nothing is made in its place");
  using other = await fleet();
  copyFileSync(join(other.folder, "cells"), path);
  await refused(/the cells are those of the store .{22}, this one is/);
  writeFileSync(path, cells.subarray(0, 1000));
  await refused(/it has no head/);

  writeFileSync(path, cells);
  const database = new Database(storePath(home.folder));
  database.prepare("update latch set cell = cell + 100000 where id = ?").run(home.latches[5]?.latchId);
  database.close();
  await using service = await openService(home.folder);
  assert.match(service.warnings.join(), /the file of cells is older than the store: 1 latches have no cell/);
  await assert.rejects(ask(service, home.latches[5] as TestLatch), { code: "store/damaged" });
  assert.equal((await ask(service, home.latches[0] as TestLatch)).kind, "released");
});

test("cells whose copies differ are settled by what they open; a start mends both", async () => {
  using home = await fleet();
  const path = join(home.folder, "cells");
  const whole = readFileSync(path);
  const numbers = home.latches.map(({ latchId }) => cellOf(home.folder, latchId));
  const spoiled = Buffer.from(whole);
  for (const [index, cell] of numbers.entries()) {
    const at = cell * 32 + (index % 2 === 0 ? 0 : 64 << 10);
    spoiled.fill(index < 2 ? 0 : 0x5a, at, at + 32);
  }
  spoiled.fill(1, 2000 * 32, 2000 * 32 + 32); // nobody's
  writeFileSync(path, spoiled);
  {
    await using service = await openService(home.folder);
    assert.deepEqual(service.warnings, []);
    for (const latch of home.latches) assert.equal((await ask(service, latch)).kind, "released");
  }
  const cells = readCells(home.folder);
  for (const cell of numbers) {
    for (const copy of [0, 1] as const) assert.deepEqual(cells(cell, copy), whole.subarray(cell * 32, cell * 32 + 32));
  }
  for (const copy of [0, 1] as const) assert.ok(cells(2000, copy).equals(Buffer.alloc(32)));

  const lost = Buffer.from(whole);
  const [first = 0] = numbers;
  lost.fill(1, first * 32, first * 32 + 32);
  lost.fill(2, first * 32 + (64 << 10), first * 32 + (64 << 10) + 32);
  writeFileSync(path, lost);
  await using service = await openService(home.folder);
  assert.match(service.warnings.join(), /^1 cells differ in their two copies, and neither opens/);
  await assert.rejects(ask(service, home.latches[0] as TestLatch), { code: "store/damaged" });
  assert.equal((await ask(service, home.latches[1] as TestLatch)).kind, "released");
});

test("invites lose their keys: used, void and expired, and their older bytes open with nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const held = async (line: string): Promise<Found> => {
    const { id } = parseInvite(line);
    const row = await service.store.transact((transaction) => transaction.invite(id));
    return { context: { purpose: "invite", id, epoch: 1 }, bytes: row?.wrappedKey ?? Buffer.alloc(0) };
  };
  const used = await makeInvite(service, "a");
  const replaced = await makeInvite(service, "b");
  const open = await makeInvite(service, "c");
  const expiring = await makeInvite(service, "d", 60_000);
  const found = await Promise.all([used, replaced, open, expiring].map(held));
  for (const each of found) assert.ok(opensWithFolder(home.folder, each));
  const machine = newMachine();
  const nonce = Buffer.alloc(16, 7);
  const latch = await enrolWith(service, machine, used, nonce);
  await makeInvite(service, "b");
  service.clock.nowMs += 60_000;
  await keepHouse(service);
  assert.deepEqual(
    found.map((each) => opensWithFolder(home.folder, each)),
    [false, false, true, false],
  );
  for (const line of [used, replaced, expiring]) assert.equal((await held(line)).bytes.length, 0);

  assert.deepEqual(await enrolWith(service, machine, used, nonce), latch, "an answer that was lost comes again");
  assert.equal(await enrolWith(service, newMachine(), used), "invite/used");
  assert.equal(await enrolWith(service, newMachine(), replaced), "invite/expired");
  assert.equal(await enrolWith(service, newMachine(), expiring), "invite/expired");
  service.clock.nowMs -= 120_000;
  assert.equal(
    await enrolWith(service, newMachine(), expiring),
    "invite/expired",
    "time that goes back brings none back",
  );
  service.clock.nowMs += 120_000;
  const last = await enrolWith(service, newMachine(), open);
  assert.equal(typeof last, "object", String(last));
});

test("the power goes before an invite's cell is empty: the next start empties it", async () => {
  using home = makeHome();
  const line = await (async () => {
    await using service = await openService(home.folder);
    return await makeInvite(service, "a");
  })();
  const cells = readFileSync(join(home.folder, "cells"));
  let found: Found;
  {
    await using service = await openService(home.folder);
    const { id } = parseInvite(line);
    const row = await service.store.transact((transaction) => transaction.invite(id));
    found = { context: { purpose: "invite", id, epoch: 1 }, bytes: row?.wrappedKey ?? Buffer.alloc(0) };
    await enrolWith(service, newMachine(), line);
  }
  writeFileSync(join(home.folder, "cells"), cells);
  assert.ok(opensWithFolder(home.folder, found));
  await using service = await openService(home.folder);
  assert.ok(!opensWithFolder(home.folder, found));
  assert.deepEqual(service.warnings, []);
});
