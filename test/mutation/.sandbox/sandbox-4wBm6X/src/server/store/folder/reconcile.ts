// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { CellFile, Doubt } from "../keys/cell-file.ts";
import { Cells, EMPTY } from "../keys/cells.ts";
import { type MasterKey, unseal, type WrapContext } from "../keys/wrap.ts";
import { query } from "../sqlite/schema.ts";
import type { Sqlite } from "../sqlite/sqlite.ts";

/**
 * Brings the cells level with the store that they belong to, before anybody uses them. Those that
 * must be empty are emptied; where copies differ one is settled on; and new ones are taken from
 * above all that the store knows.
 * @returns the cells, which have taken over both the file and the master key; and what an operator
 *   should know
 */
export function reconcileCells(
  sqlite: Sqlite,
  file: CellFile,
  master: MasterKey,
): { readonly cells: Cells; readonly warnings: readonly string[] } {
  const lost = file.doubts.filter((doubt) => !settle(sqlite, file, master, doubt)).length;
  const cells = new Cells(file, master);
  cells.startAt(greatestCell(sqlite) + 1);
  const dead = sqlite.all(query.selectFrom("dead").select("cell")).map(({ cell }) => cell);
  cells.empty(dead.filter((cell) => !cells.isEmpty(cell)));
  const beyond = countBeyond(sqlite, cells.capacity);
  return { cells, warnings: [lostWarning(lost), beyondWarning(beyond)].filter((text) => text !== null) };
}

function greatestCell(sqlite: Sqlite): number {
  const greatest = (["latch", "former_epoch", "invite"] as const).map(
    (table) => sqlite.first(query.selectFrom(table).select(({ fn }) => fn.max("cell").as("cell")))?.cell ?? 0,
  );
  return Math.max(...greatest);
}

/** How many latches are not revoked and have a cell that is not in the file. */
function countBeyond(sqlite: Sqlite, capacity: number): number {
  const counted = sqlite.first(
    query
      .selectFrom("latch")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("cell", ">=", capacity)
      .where("state", "!=", "revoked"),
  );
  return counted?.count ?? 0;
}

/** Settles on the copy that opens what belongs to the cell. False where neither does. */
function settle(sqlite: Sqlite, file: CellFile, master: MasterKey, { cell, second }: Doubt): boolean {
  const owned = ownedBy(sqlite, cell);
  const candidates = [Buffer.from(file.at(cell)), second].filter((bytes) => !bytes.equals(EMPTY));
  const right = owned === null ? EMPTY : candidates.find((bytes) => opens(master, bytes, owned));
  if (right === undefined) return false;
  try {
    file.write([cell], right);
  } catch (error) {
    if (!isError(error)) throw error; // the next start tries again; until then memory has it
    file.at(cell).set(right);
  }
  return true;
}

interface Owned {
  readonly wrapped: Buffer;
  readonly context: WrapContext;
}

/** A key that is wrapped with the cell; null where there is none. */
function ownedBy(sqlite: Sqlite, cell: number): Owned | null {
  const key = sqlite.first(
    query
      .selectFrom("latch_key")
      .innerJoin("latch", "latch.id", "latch_key.latch")
      .select(["latch_key.latch", "latch_key.epoch", "purpose", "wrapped"])
      .leftJoin("former_epoch", "former_epoch.latch", "latch_key.latch")
      .where(({ and, or, eb, ref }) =>
        or([
          and([eb("latch.cell", "=", cell), eb("latch_key.epoch", "=", ref("latch.epoch"))]),
          and([eb("former_epoch.cell", "=", cell), eb("latch_key.epoch", "=", ref("former_epoch.epoch"))]),
        ]),
      ),
  );
  if (key !== null) {
    const { latch: id, epoch, purpose, wrapped } = key;
    return { wrapped, context: { id, epoch, purpose } };
  }
  const invite = sqlite.first(query.selectFrom("invite").select(["id", "wrapped"]).where("cell", "=", cell));
  if (invite === null || invite.wrapped.length === 0) return null;
  return { wrapped: invite.wrapped, context: { purpose: "invite", id: invite.id, epoch: 1 } };
}

function opens(master: MasterKey, cell: Buffer, { wrapped, context }: Owned): boolean {
  const key = master.with(cell);
  try {
    unseal(key, wrapped, context).wipe();
    return true;
  } catch (error) {
    if (!isError(error, "store/damaged")) throw error;
    return false;
  } finally {
    key.fill(0);
  }
}

function lostWarning(count: number): string | null {
  if (count === 0) return null;
  return (
    `${count} cells differ in their two copies, and neither opens what belongs to it: the disk has lost them. Those latches are not ` +
    "released; bind their volumes again, or restore the store, its master key and its cells from the same backup."
  );
}

function beyondWarning(count: number): string | null {
  if (count === 0) return null;
  return (
    `the file of cells is older than the store: ${count} latches have no cell in it and are not released. Put the latest cells ` +
    "back, or bind those volumes again."
  );
}
