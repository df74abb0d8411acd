/**
 * An older copy of the store that was put in its place, and power cuts that must not look like one.
 */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NightlatchError } from "../../../../../src/core/errors.ts";
import { verifyLog } from "../../../../../src/server/audit/verify.ts";
import { changeLatch, changeMachine, type StateChange } from "../../../../../src/server/service/policies/states.ts";
import { storePath } from "../../../../../src/server/store/folder/paths.ts";
import { openAuditSource } from "../../../../../src/server/store/sqlite/audit-source.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";
import { ask, enrolled, type Home, makeHome, openService, type TestLatch } from "../../../../support/server/harness.ts";

const BY = { by: 0 };

interface Copied extends Home {
  readonly latch: TestLatch;
  /** A copy of the folder, made while the server was down. */
  readonly copy: string;
}

async function copied(): Promise<Copied> {
  const home = makeHome();
  let latch: TestLatch;
  {
    await using service = await openService(home.folder);
    latch = (await enrolled(service, "nas")).latch;
    await ask(service, latch);
  }
  const copy = join(home.path, "copy");
  cpSync(home.folder, copy, { recursive: true });
  return { ...home, latch, copy };
}

function putBack({ folder, copy }: Copied): void {
  rmSync(folder, { recursive: true });
  cpSync(copy, folder, { recursive: true });
}

function refusesOlder(home: Copied): Promise<void> {
  return assert.rejects(openService(home.folder), (error: NightlatchError) => {
    assert.equal(error.code, "store/rolled-back", error.message);
    assert.match(error.message, /holds an older copy of its store: the log had come to \d+ entries/);
    assert.match(error.meaning ?? "", /locked or revoked since the copy was made would be released again/);
    assert.match(error.remedy ?? "", /--accept-rollback/);
    return true;
  });
}

for (const change of ["lock", "revoke"] as const satisfies StateChange[]) {
  for (const end of ["a clean stop", "a crash"] as const) {
    test(`an older copy does not undo a ${change} that was acknowledged before ${end}`, async () => {
      using home = await copied();
      const record = `${home.folder}.id`;
      let acknowledged: Buffer;
      {
        await using service = await openService(home.folder);
        const done = await changeMachine(service, "nas", { ...BY, change });
        assert.deepEqual([done.changed, done.recorded], [true, true]);
        acknowledged = readFileSync(record);
      }
      if (end === "a crash")
        assert.deepEqual(readFileSync(record), acknowledged, "nothing was left to write at the stop");
      putBack(home);
      await refusesOlder(home);
      await refusesOlder(home); // nothing was changed by the first
    });
  }
}

test("a latch's own revocation, an unlock and what was released before a clean stop count too", async () => {
  for (const later of ["latch", "unlock", "release"] as const) {
    using home = await copied();
    {
      await using service = await openService(home.folder);
      if (later === "latch") await changeLatch(service, home.latch.latchId, { ...BY, change: "revoke" });
      else if (later === "unlock") {
        await changeMachine(service, "nas", { ...BY, change: "lock" });
        await changeMachine(service, "nas", { ...BY, change: "unlock" });
      } else await ask(service, home.latch);
    }
    putBack(home);
    await refusesOlder(home);
  }
});

test("an operator takes the older copy into use: the log says so, and the next start is as any", async () => {
  using home = await copied();
  {
    await using service = await openService(home.folder);
    await changeMachine(service, "nas", { ...BY, change: "revoke" });
  }
  const lost = JSON.parse(readFileSync(`${home.folder}.id`, "utf8")) as { size: number; root: string };
  putBack(home);
  await refusesOlder(home);
  {
    await using service = await openService(home.folder, { acceptRollback: true });
    assert.match(service.warnings.join(), /an older copy of the store was taken into use.*Lock or revoke again/);
    assert.equal((await ask(service, home.latch)).kind, "released", "nothing is done again by itself");
    await changeMachine(service, "nas", { ...BY, change: "revoke" });
  }
  {
    await using service = await openService(home.folder);
    assert.deepEqual(service.warnings, []);
    assert.equal((await ask(service, home.latch)).kind, "refused");
  }
  using source = openAuditSource(storePath(home.folder));
  await verifyLog(source, null);
  const entries = (await source.entries(0)).map(({ body }) => JSON.parse(String(body)) as Record<string, unknown>);
  const [rollback] = entries.filter(({ kind }) => kind === "rollback");
  assert.deepEqual([rollback?.["size"], rollback?.["root"]], [lost.size, lost.root]);
});

test("a copy that has grown by itself meanwhile is none that the record knows", async () => {
  using home = await copied();
  {
    await using service = await openService(home.folder);
    await changeMachine(service, "nas", { ...BY, change: "lock" });
  }
  putBack(home);
  {
    // Started as another server would, with a record of its own. The log grows past the size that
    // the first record tells.
    const record = readFileSync(`${home.folder}.id`);
    rmSync(`${home.folder}.id`);
    await using service = await openService(home.folder);
    assert.match(service.warnings.join(), /Should it be an older copy/);
    for (let count = 0; count < 5; count++) await ask(service, home.latch);
    await service[Symbol.asyncDispose]();
    await nodeSystem.writeFile(`${home.folder}.id`, record, 0o600);
  }
  await refusesOlder(home);
});

test("--accept-rollback on a store that is no older copy changes nothing, and says so", async () => {
  using home = await copied();
  const before = readFileSync(`${home.folder}.id`);
  {
    await using service = await openService(home.folder, { acceptRollback: true });
    assert.match(service.warnings.join(), /accepted nothing: leave it off/);
  }
  assert.deepEqual(readFileSync(`${home.folder}.id`), before);
});

test("a power cut between a commit and its record never leads to a refusal", async () => {
  using home = await copied();
  const path = `${home.folder}.id`;
  const before = readFileSync(path);
  {
    await using service = await openService(home.folder);
    const writing = service.store.recordProgress;
    service.store.recordProgress = () => Promise.reject(new NightlatchError("file/full", "no space is left"));
    const done = await changeMachine(service, "nas", { ...BY, change: "revoke" });
    assert.deepEqual([done.changed, done.recorded], [true, false]);
    assert.deepEqual(readFileSync(path), before);
    const crashed = join(home.path, "crashed");
    cpSync(home.folder, crashed, { recursive: true });
    await nodeSystem.writeFile(`${crashed}.id`, before, 0o600);
    {
      await using next = await openService(crashed);
      assert.deepEqual(next.warnings, []);
      assert.equal((await ask(next, home.latch)).kind, "refused");
    }
    service.store.recordProgress = writing;
    assert.equal((await changeMachine(service, "nas", { ...BY, change: "revoke" })).recorded, true, "repeated");
    assert.notDeepEqual(readFileSync(path), before);
  }
});
