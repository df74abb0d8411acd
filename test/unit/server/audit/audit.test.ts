import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import Database from "better-sqlite3";
import { hashLeaf } from "../../../../src/formats/log/merkle.ts";
import type { SignedCheckpoint } from "../../../../src/formats/log/note.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { changeLatch, changeMachine } from "../../../../src/server/service/policies/states.ts";
import { openAuditSource } from "../../../../src/server/store/sqlite/audit-source.ts";
import {
  addLatchTo,
  ask,
  enrolled,
  type Home,
  makeHome,
  makeInvite,
  openService,
  type TestLatch,
} from "../../../support/server/harness.ts";

const BY = { by: 0 };

/** A store with a history: three machines in each state, latches too, and some releases. */
async function fill(home: Home): Promise<SignedCheckpoint> {
  await using service = await openService(home.folder);
  const nas = await enrolled(service, "nas");
  const second = (await addLatchTo(service, nas.machine)) as TestLatch;
  await ask(service, nas.latch);
  await enrolled(service, "locked");
  await changeMachine(service, "locked", { ...BY, change: "lock" });
  for (let count = 0; count < 4; count++) await makeInvite(service, "later");
  const earlier = await service.store.transact((transaction) => transaction.checkpoint());
  const stolen = await enrolled(service, "stolen");
  await Promise.all(Array.from({ length: 5 }, () => ask(service, stolen.latch)));
  await changeMachine(service, "stolen", { ...BY, change: "revoke" });
  await changeLatch(service, second.latchId, { ...BY, change: "lock" });
  await ask(service, nas.latch);
  assert.ok(earlier !== null);
  return earlier;
}

describe("audit verify", () => {
  let home: Home;
  let earlier: SignedCheckpoint;
  before(async () => {
    home = makeHome();
    earlier = await fill(home);
  });
  after(() => home[Symbol.dispose]());

  /** Verifies a copy of the store that was edited by somebody who has the file. */
  async function verifyEdited(
    edit: string | ((database: Database.Database) => void),
    since: SignedCheckpoint | null = null,
  ): ReturnType<typeof verifyLog> {
    const copy = join(home.path, "copy");
    mkdirSync(copy);
    try {
      const path = join(copy, "store.sqlite");
      copyFileSync(join(home.folder, "store.sqlite"), path);
      const database = new Database(path);
      database.pragma("foreign_keys = OFF");
      if (typeof edit === "string") database.exec(edit);
      else edit(database);
      database.close();
      using source = openAuditSource(path);
      return await verifyLog(source, since);
    } finally {
      rmSync(copy, { recursive: true });
    }
  }

  test("a store that nobody touched is whole, and has grown from a checkpoint that was kept", async () => {
    const verified = await verifyEdited("");
    assert.equal(verified.machines, 3);
    assert.equal(verified.latches, 4);
    assert.equal(verified.last.size, verified.entries);
    assert.ok(verified.checkpoints > 5 && verified.checkpoints <= verified.entries);
    assert.deepEqual(await verifyEdited("", earlier), verified);
  });

  const LAST = "(select max(number) from entry)";
  const edits: readonly (readonly [what: string, sql: string, told: RegExp])[] = [
    [
      "an entry edited",
      "update entry set body = cast(replace(body, '192.0.2.7', '192.0.2.8') as blob)",
      /the first \d+ entries are not those/,
    ],
    [
      "a byte of an entry changed",
      "update entry set body = cast(replace(body, 'nas', 'nbs') as blob) where number = 1",
      /the first \d+ entries are not those/,
    ],
    ["an entry that is no entry", "update entry set body = x'00' where number = 3", /entry 3 is damaged/],
    ["an entry removed", "delete from entry where number = 4", /entry 4 is missing/],
    [
      "an entry removed and the others moved up",
      "delete from entry where number = 4; update entry set number = number - 1 where number > 4",
      /not those|missing/,
    ],
    ["the last entry removed", `delete from entry where number = ${LAST}`, /all after it are missing/],
    [
      "the last entry removed and the tree shortened",
      `delete from entry where number = ${LAST}; update tree set size = size - 1`,
      /the tree's edge does not belong to the log/,
    ],
    [
      "an entry appended",
      `insert into entry select max(number) + 1, body from entry`,
      /and those after it are not signed by any checkpoint/,
    ],
    [
      "two entries swapped",
      "update entry set number = -1 where number = 2; update entry set number = 2 where number = 3; update entry set number = 3 where number = -1",
      /not those/,
    ],
    ["all entries removed", "delete from entry", /entry 0 and all after it are missing/],
    [
      "a checkpoint's signature changed",
      "update checkpoint set signature = zeroblob(64) where size = 3",
      /the checkpoint of 3 entries is not signed/,
    ],
    [
      "a checkpoint's root changed",
      "update checkpoint set root = zeroblob(32) where size = 3",
      /the checkpoint of 3 entries is not signed/,
    ],
    [
      "the last checkpoint removed",
      "delete from checkpoint where size = (select max(size) from checkpoint)",
      /not signed by any checkpoint/,
    ],
    [
      "a checkpoint moved",
      "delete from checkpoint where size = 2; update checkpoint set size = 2 where size = 3",
      /the checkpoint of 2 entries is not signed/,
    ],
    [
      "a machine unlocked behind the log's back",
      "update machine set state = 'active' where name = 'locked'",
      /the state of machine .{43} is active in the store, locked by the log/,
    ],
    [
      "a machine renamed",
      "update machine set name = 'mine' where name = 'nas'",
      /the name of machine .{43} is mine in the store, nas by the log/,
    ],
    [
      "a policy changed behind the log's back",
      "update machine set policy = 'lease' where name = 'nas'",
      /the policy of machine .{43} is lease in the store, always by the log/,
    ],
    [
      "a lease slipped in",
      "update machine set leases = 1, lease_until = 9e12, lease_grace = 0, lease_made_at = 0 where name = 'nas'",
      /the lease of machine .{43} is 1 until 9000000000000 grace 0 in the store, 0 by the log/,
    ],
    [
      "a release within a lease made up",
      "update latch set use_lease = 1, use_ms = 5, use_from = '192.0.2.7' where state = 'active'",
      /the use of latch .{22} is 1 at 5 from 192.0.2.7 in the store/,
    ],
    ["a machine's epoch set back", "update machine set epoch = 1 where name = 'locked'", /the epoch of machine/],
    [
      "a revoked latch made active",
      "update latch set state = 'active' where state = 'revoked'",
      /the state of latch .{22} is active in the store, revoked by the log/,
    ],
    [
      "a latch given to another machine",
      "update latch set machine = (select id from machine where name = 'locked') where state = 'locked'",
      /the machine of latch/,
    ],
    [
      "a machine removed",
      "delete from machine where name = 'nas'",
      /the machine .{43} is in the log, but the store has lost it/,
    ],
    [
      "a latch removed",
      "delete from latch_key where latch = (select id from latch where state = 'locked'); delete from latch where state = 'locked'",
      /the latch .{22} is in the log, but the store has lost it/,
    ],
    [
      "a machine slipped in",
      `insert into machine (id, name, state, epoch, enrolled_ms) values ('${"x".repeat(43)}', 'evil', 'active', 1, 0)`,
      /the machine x{43} is in the store, but the log does not know it/,
    ],
    [
      "an exchange key replaced",
      "update latch_key set kid = 'other' where purpose = 'exchange'",
      /the keys of latch .{22} is exchange 1 other, signing 1 in the store/,
    ],
    [
      "a key of another epoch slipped in",
      "insert into latch_key select latch, 7, purpose, kid, jwk, wrapped from latch_key limit 1",
      /the keys of latch .{22} is exchange 1 .{43}, exchange 7 .{43}, signing 1 in the store/,
    ],
    [
      "a key kept of a revoked latch",
      "insert into latch_key select (select id from latch where state = 'revoked'), epoch, purpose, kid, jwk, wrapped from latch_key limit 1",
      /the keys of latch .{22} is exchange 1 .{43} in the store, {2}by the log/,
    ],
    [
      "a key of no latch",
      "insert into latch_key select 'nosuch', epoch, purpose, kid, jwk, wrapped from latch_key limit 1",
      /the latch nosuch, of which there are only keys, is in the store, but the log does not know it/,
    ],
    ["a signing key removed", "delete from latch_key where purpose = 'signing'", /the keys of latch/],
    ["a latch's epoch changed", "update latch set epoch = 2 where state = 'locked'", /the epoch of latch .{22} is 2/],
    [
      "a used invite opened again",
      "update invite set state = 'open' where state = 'used'",
      /the state of invite .{22} is open in the store, used by the log/,
    ],
    [
      "a void invite opened again",
      "drop index invite_name; update invite set state = 'open' where state = 'void'",
      /the state of invite .{22} is open in the store, void by the log/,
    ],
    [
      "an invite prolonged",
      "update invite set expires_ms = expires_ms + 1 where state = 'open'",
      /the expires of invite .{22}/,
    ],
    ["an invite given to another", "update invite set name = 'mine' where state = 'open'", /the name of invite/],
    [
      "an invite's use laid on another machine",
      "update invite set machine = (select id from machine where name = 'locked')",
      /the machine of invite/,
    ],
    [
      "an invite slipped in",
      "insert into invite (id, name, state, wrapped, created_ms, expires_ms) select 'x', 'x', 'open', wrapped, created_ms, expires_ms from invite limit 1",
      /the invite x is in the store, but the log does not know it/,
    ],
    ["an invite removed", "delete from invite where state = 'open'", /the invite .{22} is in the log, but the store/],
    [
      "an exchange key removed",
      "delete from latch_key where purpose = 'exchange'",
      /the keys of latch .{22} is signing 1 in the store/,
    ],
    [
      "the store's identity replaced",
      `update store set identity = '${Buffer.alloc(32, 9).toString("base64url")}'`,
      /is not signed by this server's identity/,
    ],
    [
      "the tree's edge replaced",
      "update tree set edge = zeroblob(length(edge))",
      /the tree's edge does not belong to the log/,
    ],
  ];
  for (const [what, sql, told] of edits) {
    test(`finds ${what}`, async () => {
      await assert.rejects(verifyEdited(sql), (error: Error & { code?: string }) => {
        assert.equal(error.code, "audit/broken", error.message);
        assert.match(error.message, told);
        return true;
      });
    });
  }

  test("finds a whole log that was replaced by an older or another one, by the checkpoint that was kept", async () => {
    const kept = await verifyEdited("");
    // As its owner would cut it: entries, checkpoints and the tree agree with each other.
    const cut = (database: Database.Database) => {
      database.exec("delete from machine; delete from latch; delete from latch_key; delete from invite");
      database.exec("delete from entry where number > 0; delete from checkpoint where size > 1");
      const { body } = database.prepare("select body from entry").get() as { body: Buffer };
      database.prepare("update tree set size = 1, edge = ?").run(hashLeaf(body));
    };
    assert.equal((await verifyEdited(cut)).entries, 1, "by itself it looks whole");
    await assert.rejects(verifyEdited(cut, kept.last), {
      code: "audit/broken",
      message: `the log has 1 entries, the checkpoint that was kept has ${kept.entries}: it was cut short`,
    });
    await assert.rejects(verifyEdited("", { ...earlier, root: Buffer.alloc(32) }), { code: "audit/broken" });
    await assert.rejects(verifyEdited("", { ...earlier, origin: "nightlatch/other" }), {
      code: "audit/broken",
      message: "a checkpoint is of another log, nightlatch/other",
    });
  });
});
