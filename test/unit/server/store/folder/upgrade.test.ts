/** A store of an older version at its first start, and the power that goes on the way. */
import assert from "node:assert/strict";
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { NightlatchError } from "../../../../../src/core/errors.ts";
import { verifyLog } from "../../../../../src/server/audit/verify.ts";
import { changeLatch, changeMachine } from "../../../../../src/server/service/policies/states.ts";
import { openFolder } from "../../../../../src/server/store/folder/folder.ts";
import { storePath } from "../../../../../src/server/store/folder/paths.ts";
import { openAuditSource } from "../../../../../src/server/store/sqlite/audit-source.ts";
import { MIGRATIONS } from "../../../../../src/server/store/sqlite/migrations.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";
import { faultySystem, PowerCut } from "../../../../support/faults.ts";
import { opensWithFolder } from "../../../../support/server/carve.ts";
import {
  addLatchTo,
  ask,
  enrolled,
  enrolWith,
  type Home,
  makeHome,
  makeInvite,
  newMachine,
  openService,
  type TestLatch,
  UID,
} from "../../../../support/server/harness.ts";
import { makeOld, type OldStore } from "../../../../support/server/old-store.ts";

const BY = { by: 0 };

interface OldHome extends Home {
  readonly old: OldStore;
  /** Of machines that are active. */
  readonly latches: readonly TestLatch[];
  readonly revoked: TestLatch;
  readonly locked: TestLatch;
  /** A line that nobody has used. */
  readonly open: string;
  readonly expired: string;
}

async function oldHome(version: 1 | 2 = 2): Promise<OldHome> {
  const home = makeHome();
  await using service = await openService(home.folder);
  const latches: TestLatch[] = [];
  for (const name of ["nas", "pi"]) {
    const { machine, latch } = await enrolled(service, name);
    latches.push(latch, (await addLatchTo(service, machine)) as TestLatch);
  }
  const { latch: revoked } = await enrolled(service, "stolen");
  await changeMachine(service, "stolen", { ...BY, change: "revoke" });
  const { latch: locked } = await enrolled(service, "away");
  await changeMachine(service, "away", { ...BY, change: "lock" });
  const open = await makeInvite(service, "next");
  service.clock.nowMs -= 7_200_000;
  const expired = await makeInvite(service, "late");
  await service[Symbol.asyncDispose]();
  return { ...home, old: makeOld(home.folder, version), latches, revoked, locked, open, expired };
}

/** Everything is as it was, and nothing of the older wrapping opens with what there is. */
async function expectUpgraded(home: OldHome): Promise<void> {
  {
    await using service = await openService(home.folder);
    for (const latch of home.latches) assert.equal((await ask(service, latch)).kind, "released");
    assert.deepEqual(await ask(service, home.revoked), { kind: "refused", reason: "latch/revoked" });
    assert.deepEqual(await ask(service, home.locked), { kind: "refused", reason: "machine/locked" });
    await changeMachine(service, "away", { ...BY, change: "unlock" });
    assert.equal((await ask(service, home.locked)).kind, "released");
    await changeMachine(service, "away", { ...BY, change: "lock" });
  }
  for (const found of home.old.wrapped) assert.ok(!opensWithFolder(home.folder, found), JSON.stringify(found.context));
  for (const name of readdirSync(home.folder)) {
    assert.ok(!readFileSync(join(home.folder, name)).includes(home.old.master), `the older master key is in ${name}`);
  }
  assert.ok(!existsSync(join(home.folder, "master.key.next")));
}

for (const version of [1, 2] as const) {
  test(`a store of version ${version} is wrapped anew: all goes on, and its older bytes open no more`, async () => {
    using home = await oldHome(version);
    assert.ok(home.old.wrapped.length >= 2 + 5 * 2);
    for (const found of home.old.wrapped) assert.ok(opensWithFolder(home.folder, found));
    {
      await using service = await openService(home.folder);
      assert.ok(!service.created);
      assert.match(service.warnings.join("\n"), /brought to a new format.*Make a new backup of the whole folder/);
      assert.equal(typeof (await enrolWith(service, newMachine(), home.open)), "object");
      assert.equal(await enrolWith(service, newMachine(), home.expired), "invite/expired");
    }
    await expectUpgraded(home);
    await using again = await openService(home.folder);
    assert.deepEqual(again.warnings, []);
    await again[Symbol.asyncDispose]();
    using source = openAuditSource(storePath(home.folder));
    await verifyLog(source, null);
    const database = new Database(storePath(home.folder), { readonly: true });
    assert.equal(database.pragma("user_version", { simple: true }), MIGRATIONS.length);
    database.close();
  });
}

test("what is revoked after it opens with nothing: neither what was wrapped before nor since", async () => {
  using home = await oldHome();
  await using service = await openService(home.folder);
  const [first, second] = home.latches;
  assert.ok(first !== undefined && second !== undefined);
  const keys = await service.store.transact((transaction) => transaction.keys(first.latchId));
  const found = keys.map(({ purpose, epoch, wrapped }) => ({
    context: { id: first.latchId, purpose, epoch },
    bytes: wrapped,
  }));
  for (const key of found) assert.ok(opensWithFolder(home.folder, key), "what the test tries with does open keys");
  const done = await changeLatch(service, first.latchId, { ...BY, change: "revoke" });
  assert.deepEqual([done.changed, done.destroyed, done.scrubbed], [true, true, true]);
  for (const key of [...found, ...home.old.wrapped]) assert.ok(!opensWithFolder(home.folder, key));
  assert.equal((await ask(service, second)).kind, "released");
});

test("the power goes at any step of it: the next start has all that there was", async () => {
  using whole = await oldHome();
  const steps: string[] = [];
  for (let at = 1; ; at++) {
    for (const when of ["before", "during", "after"] as const) {
      const copy = copyHome(whole, `${at}-${when}`);
      const system = faultySystem(nodeSystem, { at, when });
      const opened = await openFolder(system, copy.folder, { uid: UID }).catch((error: unknown) => {
        assert.ok(error instanceof PowerCut, String(error));
        return null;
      });
      if (opened !== null) await opened.store.close().catch(() => {});
      await expectUpgraded(copy);
      if (when === "after" && !system.wasCut) {
        const names = system.steps.map((step) => step.replaceAll(copy.folder, ""));
        for (const step of [
          "make /cells",
          "sync /cells",
          "write /master.key.next",
          "write /master.key at 0",
          "sync /master.key",
          "remove /master.key.next",
        ]) {
          assert.ok(names.includes(step), `${step} is none of ${names.join(", ")}`);
        }
        return;
      }
      steps.push(system.steps.at(-1) ?? "");
    }
    assert.ok(at < 60, steps.join("\n"));
  }
});

function copyHome(home: OldHome, name: string): OldHome {
  const folder = join(home.path, name);
  cpSync(home.folder, folder, { recursive: true });
  cpSync(`${home.folder}.id`, `${folder}.id`);
  return { ...home, folder };
}

test("the power goes right before and right after the commit that wraps everything anew", async () => {
  using whole = await oldHome();
  // Before: all that the steps before it left is there, and the store is the older one.
  const before = copyHome(whole, "before-commit");
  let cells: Buffer | null = null;
  const full = {
    ...nodeSystem,
    nowMs: () => {
      cells = readFileSync(join(before.folder, "cells"));
      throw new Error("the power went"); // inside of the transaction
    },
  };
  await assert.rejects(openFolder(full, before.folder, { uid: UID }), /the power went/);
  assert.ok(existsSync(join(before.folder, "master.key.next")));
  await expectUpgraded(before);
  assert.deepEqual(readFileSync(join(before.folder, "cells")), cells, "the cells were gone on with");
  // After: the older master key is still in its place.
  const after = copyHome(whole, "after-commit");
  const denied = {
    ...nodeSystem,
    openInPlace: async (path: string, made?: number) => {
      const file = await nodeSystem.openInPlace(path, made);
      if (!path.endsWith("/master.key")) return file;
      file.write = () => {
        throw new NightlatchError("file/io", "the power went");
      };
      return file;
    },
  };
  await assert.rejects(openFolder(denied, after.folder, { uid: UID }), /the power went/);
  assert.deepEqual(readFileSync(join(after.folder, "master.key")), whole.old.master);
  await expectUpgraded(after);
});

test("a master key that cannot be written is kept, with a word", async () => {
  using home = await oldHome();
  const readonly = {
    ...nodeSystem,
    openInPlace: async (path: string, made?: number) => {
      if (path.endsWith("/master.key")) throw new NightlatchError("file/denied", `${path} may not be opened (EROFS)`);
      return nodeSystem.openInPlace(path, made);
    },
  };
  const opened = await openFolder(readonly, home.folder, { uid: UID });
  assert.match(opened.warnings.join(), /master\.key cannot be written and was kept: older copies/);
  await opened.store.close();
  assert.deepEqual(readFileSync(join(home.folder, "master.key")), home.old.master);
  await using service = await openService(home.folder);
  for (const latch of home.latches) assert.equal((await ask(service, latch)).kind, "released");
  const [latch] = home.latches;
  const keys = await service.store.transact((transaction) => transaction.keys(latch?.latchId ?? ""));
  await changeLatch(service, latch?.latchId ?? "", { ...BY, change: "revoke" });
  for (const { purpose, epoch, wrapped } of keys) {
    const context = { id: latch?.latchId ?? "", purpose, epoch };
    assert.ok(!opensWithFolder(home.folder, { context, bytes: wrapped }));
  }
});

test("a key that does not open keeps no other from being wrapped anew", async () => {
  using home = await oldHome();
  const [bad, ...good] = home.latches;
  const database = new Database(storePath(home.folder));
  database
    .prepare("update latch_key set wrapped = zeroblob(60) where latch = ? and purpose = 'exchange'")
    .run(bad?.latchId);
  database.close();
  await using service = await openService(home.folder);
  assert.match(service.warnings.join("\n"), /^1 keys did not open before/m);
  for (const latch of good) assert.equal((await ask(service, latch)).kind, "released");
  assert.ok(bad !== undefined);
  await assert.rejects(ask(service, bad), { code: "store/damaged" });
});

test("another store's master key is refused before anything is changed", async () => {
  using home = await oldHome();
  using other = makeHome();
  await (await openFolder(nodeSystem, other.folder, { uid: UID })).store.close();
  cpSync(join(other.folder, "master.key"), join(home.folder, "master.key"));
  chmodSync(join(home.folder, "master.key"), 0o600);
  const names = readdirSync(home.folder);
  await assert.rejects(openService(home.folder), { code: "store/master-key" });
  assert.deepEqual(
    readdirSync(home.folder).filter((name) => !/-(?:wal|shm)$|^lock$/.test(name)),
    names.filter((name) => !/-(?:wal|shm)$|^lock$/.test(name)),
  );
});
