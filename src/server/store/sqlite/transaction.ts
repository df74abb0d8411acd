import type { State } from "../../policy/decide.ts";
import type { InviteRow, InviteState, KeyRow, LatchRow, MachineRow, ReleaseRow, Transaction } from "../port.ts";
import { SqliteLog } from "./log.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

/**
 * The hot path's own statements, because Kysely would write the same text anew each time. There are
 * three reads by key, because one that joins the three tables takes four times as long
 * (docs/decisions: the store's reads).
 */
const RELEASE_LATCH = "select machine, state, epoch, cell from latch where id = ?";
const RELEASE_MACHINE = "select state from machine where id = ?";
const RELEASE_KEY = "select kid, wrapped from latch_key where latch = ? and epoch = ? and purpose = 'exchange'";

/** What an invite has in place of a key that was destroyed. */
export const NO_KEY = Buffer.alloc(0);

const LATCH = [
  "id",
  "machine as machineId",
  "volume",
  "state",
  "epoch",
  "nonce",
  "created_ms as createdMs",
  "advertisement",
  "cell",
] as const;
const MACHINE = ["id", "name", "state", "epoch", "enrolled_ms as enrolledMs"] as const;
const INVITE = [
  "id",
  "name",
  "state",
  "wrapped as wrappedKey",
  "created_ms as createdMs",
  "expires_ms as expiresMs",
  "made_at as madeAt",
  "machine as machineId",
  "cell",
] as const;

/** The port's reads and writes over SQLite. Whoever holds one is inside a transaction. */
export class SqliteTransaction extends SqliteLog implements Transaction {
  readonly #sqlite: Sqlite;
  #dead: number[] = [];

  constructor(sqlite: Sqlite, storeId: string) {
    super(sqlite, storeId);
    this.#sqlite = sqlite;
  }

  async release(latchId: string): Promise<ReleaseRow | null> {
    return this.#sqlite.guard(() => {
      const latch = this.#sqlite.prepare(RELEASE_LATCH).get(latchId) as Pick<LatchRow, "state" | "epoch" | "cell"> & {
        machine: string;
      };
      if (latch === undefined) return null;
      const machine = this.#sqlite.prepare(RELEASE_MACHINE).get(latch.machine) as Pick<MachineRow, "state">;
      const key = this.#sqlite.prepare(RELEASE_KEY).get(latchId, latch.epoch) as
        | { kid: string; wrapped: Buffer }
        | undefined;
      return {
        machineId: latch.machine,
        machineState: machine.state,
        latchState: latch.state,
        latchEpoch: latch.epoch,
        exchange: key === undefined ? null : { ...key, cell: latch.cell ?? 0 },
      };
    });
  }

  async keys(latchId: string): Promise<KeyRow[]> {
    const columns = ["purpose", "epoch", "kid", "jwk as publicJwk", "wrapped"] as const;
    return this.#sqlite.all(query.selectFrom("latch_key").select(columns).where("latch", "=", latchId));
  }

  async latch(latchId: string): Promise<LatchRow | null> {
    return this.#sqlite.first(query.selectFrom("latch").select(LATCH).where("id", "=", latchId));
  }

  async latchByNonce(machineId: string, nonce: string): Promise<LatchRow | null> {
    return this.#sqlite.first(
      query.selectFrom("latch").select(LATCH).where("machine", "=", machineId).where("nonce", "=", nonce),
    );
  }

  async latchesOf(machineId: string): Promise<LatchRow[]> {
    return this.#sqlite.all(
      query.selectFrom("latch").select(LATCH).where("machine", "=", machineId).orderBy("created_ms").orderBy("id"),
    );
  }

  async machine(machineId: string): Promise<MachineRow | null> {
    return this.#sqlite.first(query.selectFrom("machine").select(MACHINE).where("id", "=", machineId));
  }

  async machineByName(name: string): Promise<MachineRow | null> {
    return this.#sqlite.first(
      query
        .selectFrom("machine")
        .select(MACHINE)
        .where("name", "=", name)
        .orderBy((e) => e("state", "=", "revoked"))
        .orderBy("enrolled_ms", "desc")
        .limit(1),
    );
  }

  async machines(): Promise<MachineRow[]> {
    return this.#sqlite.all(query.selectFrom("machine").select(MACHINE).orderBy("name").orderBy("enrolled_ms"));
  }

  async invite(inviteId: string): Promise<InviteRow | null> {
    return this.#sqlite.first(query.selectFrom("invite").select(INVITE).where("id", "=", inviteId));
  }

  async openInvites(): Promise<InviteRow[]> {
    return this.#sqlite.all(query.selectFrom("invite").select(INVITE).where("state", "=", "open").orderBy("name"));
  }

  async hasInvited(name: string): Promise<boolean> {
    return this.#sqlite.first(query.selectFrom("invite").select("id").where("name", "=", name).limit(1)) !== null;
  }

  async insertInvite(invite: InviteRow): Promise<void> {
    const { id, name, state, wrappedKey, createdMs, expiresMs, madeAt, machineId, cell } = invite;
    const row = {
      id,
      name,
      state,
      wrapped: wrappedKey,
      created_ms: createdMs,
      expires_ms: expiresMs,
      made_at: madeAt,
      machine: machineId,
      cell,
    };
    this.#sqlite.run(query.insertInto("invite").values(row));
  }

  async setInvite(inviteId: string, state: InviteState, machineId: string | null): Promise<void> {
    this.#sqlite.run(query.updateTable("invite").set({ state, machine: machineId }).where("id", "=", inviteId));
    if (state !== "open") await this.#destroyInviteKey(inviteId);
  }

  async #destroyInviteKey(inviteId: string): Promise<void> {
    this.#sqlite.run(query.updateTable("invite").set({ wrapped: NO_KEY }).where("id", "=", inviteId));
    this.#bury(this.#sqlite.first(query.selectFrom("invite").select("cell").where("id", "=", inviteId)));
  }

  async insertMachine({ id, name, state, epoch, enrolledMs }: MachineRow): Promise<void> {
    this.#sqlite.run(query.insertInto("machine").values({ id, name, state, epoch, enrolled_ms: enrolledMs }));
  }

  async setMachine(machineId: string, state: State, epoch: number): Promise<void> {
    this.#sqlite.run(query.updateTable("machine").set({ state, epoch }).where("id", "=", machineId));
  }

  async insertLatch(latch: LatchRow, keys: readonly KeyRow[]): Promise<void> {
    const { machineId, createdMs, ...rest } = latch;
    this.#sqlite.run(query.insertInto("latch").values({ ...rest, machine: machineId, created_ms: createdMs }));
    for (const { publicJwk, ...key } of keys) {
      this.#sqlite.run(query.insertInto("latch_key").values({ ...key, latch: latch.id, jwk: publicJwk }));
    }
  }

  async setLatch(latchId: string, state: State): Promise<void> {
    this.#sqlite.run(query.updateTable("latch").set({ state }).where("id", "=", latchId));
  }

  async destroyKeys(latchId: string): Promise<void> {
    this.#sqlite.run(query.deleteFrom("latch_key").where("latch", "=", latchId));
    this.#bury(this.#sqlite.first(query.selectFrom("latch").select("cell").where("id", "=", latchId)));
    this.#sqlite.run(query.updateTable("scrub").set({ owed: 1 }));
  }

  /**
   * Names the cell in the same commit. A start finds it there, should the power go before the cell
   * is empty.
   */
  #bury(row: { readonly cell: number | null } | null): void {
    const cell = row?.cell ?? null;
    if (cell === null) return;
    this.#sqlite.run(
      query
        .insertInto("dead")
        .values({ cell })
        .onConflict((c) => c.doNothing()),
    );
    this.#dead.push(cell);
  }

  /** The cells whose keys were destroyed since the last call. */
  takeDead(): number[] {
    const dead = this.#dead;
    this.#dead = [];
    return dead;
  }
}
