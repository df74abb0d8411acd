// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { Cells } from "../keys/cells.ts";
import type { MasterKey, WrapContext } from "../keys/wrap.ts";
import type { KeyPurpose } from "../port.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";
import { NO_KEY } from "../sqlite/transaction.ts";

/** How many latches are read at once. */
const PAGE = 1000;

/** What wraps a store anew, and when. */
interface Rewrap {
  /** What opens everything so far. */
  readonly old: MasterKey;
  /** What opens the store's own keys from now on; the cells have it as well. */
  readonly master: MasterKey;
  readonly cells: Cells;
  /** Invites that have expired by then lose their keys. */
  readonly nowMs: number;
}

/**
 * Wraps every key of a store from before version 3 anew, each latch's and invite's with a cell of
 * its own. It runs inside the transaction that brings the tables up to date. A key that does not
 * open keeps no other from being wrapped, and stays as it is.
 * @returns how many did not open
 * @throws NightlatchError store/damaged where the store's own keys do not open
 */
export function rewrapStore(sqlite: Sqlite, rewrap: Rewrap): number {
  rewrapOwn(sqlite, rewrap);
  let damaged = 0;
  for (let after = ""; ; ) {
    const page = sqlite.all(
      query.selectFrom("latch").select(["id", "state"]).where("id", ">", after).orderBy("id").limit(PAGE),
    );
    for (const { id, state } of page) if (state !== "revoked") damaged += rewrapLatch(sqlite, rewrap, id);
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  rewrapInvites(sqlite, rewrap);
  sqlite.run(query.updateTable("scrub").set({ owed: 1 }));
  return damaged;
}

/**
 * Wraps what is the store's own.
 * @throws NightlatchError store/damaged: without it nothing of the store is of use
 */
function rewrapOwn(sqlite: Sqlite, { old, master }: Rewrap): void {
  const row = sqlite.first(query.selectFrom("store").select(["id", "wrapped_identity", "master_check"]));
  if (row === null) return;
  const again = (wrapped: Buffer, purpose: WrapContext["purpose"]) => {
    const context = { purpose, id: row.id, epoch: 1 };
    using plain = old.unwrapOld(wrapped, context);
    return master.wrap(plain.reveal(), context);
  };
  const wrapped_identity = again(row.wrapped_identity, "identity");
  const master_check = again(row.master_check, "check");
  sqlite.run(query.updateTable("store").set({ wrapped_identity, master_check }));
}

const SELECT_KEYS = "select epoch, purpose, wrapped from latch_key where latch = ?";
const UPDATE_KEY = "update latch_key set wrapped = ? where latch = ? and epoch = ? and purpose = ?";
const UPDATE_LATCH = "update latch set cell = ? where id = ?";

interface KeyOfLatch {
  readonly epoch: number;
  readonly purpose: KeyPurpose;
  readonly wrapped: Buffer;
}

function rewrapLatch(sqlite: Sqlite, { old, cells }: Rewrap, id: string): number {
  return sqlite.guard(() => {
    const cell = cells.take();
    let damaged = 0;
    sqlite.prepare(UPDATE_LATCH).run(cell, id);
    for (const { epoch, purpose, wrapped } of sqlite.prepare(SELECT_KEYS).all(id) as KeyOfLatch[]) {
      const context = { purpose, id, epoch };
      try {
        using plain = old.unwrapOld(wrapped, context);
        sqlite.prepare(UPDATE_KEY).run(cells.wrap(cell, plain.reveal(), context), id, epoch, purpose);
      } catch (error) {
        if (!isError(error, "store/damaged")) throw error;
        damaged++;
      }
    }
    return damaged;
  });
}

function rewrapInvites(sqlite: Sqlite, { old, cells, nowMs }: Rewrap): void {
  const isOpen = { state: "open" } as const;
  sqlite.run(query.updateTable("invite").set({ wrapped: NO_KEY }).where("state", "!=", isOpen.state));
  sqlite.run(query.updateTable("invite").set({ wrapped: NO_KEY }).where("expires_ms", "<=", nowMs));
  const open = sqlite.all(query.selectFrom("invite").select(["id", "wrapped"]).where("wrapped", "!=", NO_KEY));
  for (const { id, wrapped } of open) {
    const context = { purpose: "invite", id, epoch: 1 } as const;
    const cell = cells.take();
    try {
      using plain = old.unwrapOld(wrapped, context);
      const again = cells.wrap(cell, plain.reveal(), context);
      sqlite.run(query.updateTable("invite").set({ wrapped: again, cell }).where("id", "=", id));
    } catch (error) {
      if (!isError(error, "store/damaged")) throw error;
      sqlite.run(query.updateTable("invite").set({ wrapped: NO_KEY }).where("id", "=", id));
    }
  }
}
