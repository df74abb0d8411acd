import type { Cosignature } from "../../../formats/log/cosignature.ts";
import type { State } from "../../policy/decide.ts";
import type { LeaseUse } from "../../policy/lease.ts";
import type { Day } from "../../policy/limits.ts";
import type { TermsSource } from "../../policy/terms.ts";
import type { Transaction } from "../port.ts";
import type {
  AliveRow,
  FormerEpoch,
  Gone,
  GroupRow,
  InviteRow,
  InviteState,
  KeyRow,
  LatchRow,
  LeaseRow,
  MachineRow,
  PolicyTerms,
  RequestRow,
  WitnessedLogRow,
  WitnessRow,
} from "../rows.ts";
import { columnsOfAlive, NO_ALIVE } from "./alive-columns.ts";
import { writeDay } from "./day-table.ts";
import { columnsOfGroup } from "./group-table.ts";
import { columnsOfInvite } from "./invite-table.ts";
import { columnsOfLease, NO_LEASE } from "./lease-columns.ts";
import { SqliteReads } from "./reads.ts";
import { columnsOfApproval, columnsOfRequest } from "./request-table.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

// Statements of the hot path: Kysely would write the same text anew each time.
const USE_LEASE = "update latch set use_lease = ?, use_ms = ?, use_from = ? where id = ?";
const SET_SEEN = "update machine set seen_ms = ?, seen_from = coalesce(?, seen_from) where id = ?";
const SET_LET_IN = "update machine set let_in = ?, gone_in = null, gone_from = null where id = ?";
const SET_ALIVE =
  "update machine set alive_timeout = ?, alive_until = ?, alive_saved = ?, alive_made_at = ?, alive_extended = ? where id = ?";

/** The columns of a machine that did not fall silent with its site. */
const NOT_GONE = { gone_in: null, gone_from: null };

/** What an invite has in place of a key that was destroyed. */
export const NO_KEY = Buffer.alloc(0);

/** The port's reads and writes over SQLite. Whoever holds one is inside a transaction. */
export class SqliteTransaction extends SqliteReads implements Transaction {
  readonly #sqlite: Sqlite;
  #dead: number[] = [];

  constructor(sqlite: Sqlite, storeId: string) {
    super(sqlite, storeId);
    this.#sqlite = sqlite;
  }

  async insertInvite(invite: InviteRow): Promise<void> {
    this.#sqlite.run(query.insertInto("invite").values(columnsOfInvite(invite)));
  }

  async setInvite(inviteId: string, state: InviteState, machineId: string | null): Promise<void> {
    this.#sqlite.run(query.updateTable("invite").set({ state, machine: machineId }).where("id", "=", inviteId));
    if (state !== "open") await this.#destroyInviteKey(inviteId);
  }

  async #destroyInviteKey(inviteId: string): Promise<void> {
    this.#sqlite.run(query.updateTable("invite").set({ wrapped: NO_KEY }).where("id", "=", inviteId));
    this.#bury(this.#sqlite.first(query.selectFrom("invite").select("cell").where("id", "=", inviteId)));
  }

  async insertMachine({
    enrolledMs,
    lease,
    approval,
    alive,
    seenMs,
    seenFrom,
    group,
    goneIn,
    goneFrom,
    ...row
  }: MachineRow): Promise<void> {
    const columns = {
      ...row,
      in_group: group,
      seen_from: seenFrom,
      gone_in: goneIn,
      gone_from: goneFrom,
      enrolled_ms: enrolledMs,
      seen_ms: seenMs,
      ...NO_LEASE,
      ...columnsOfLease(lease),
    };
    const terms = { ...columnsOfApproval(approval), ...columnsOfAlive(alive) };
    this.#sqlite.run(query.insertInto("machine").values({ ...columns, ...terms }));
  }

  async setMachine(machineId: string, state: State, epoch: number): Promise<void> {
    const lease = state === "active" ? {} : NO_LEASE;
    this.#sqlite.run(
      query
        .updateTable("machine")
        .set({ state, epoch, ...lease, ...NOT_GONE })
        .where("id", "=", machineId),
    );
    if (state !== "active") this.#dropRequests(machineId);
  }

  async setPolicy(machineId: string, { policy, approval, limits, source }: PolicyTerms): Promise<void> {
    this.#sqlite.run(
      query
        .updateTable("machine")
        .set({ policy, limits, source, ...columnsOfApproval(approval), ...NO_LEASE, ...NO_ALIVE, ...NOT_GONE })
        .where("id", "=", machineId),
    );
    this.#dropRequests(machineId);
  }

  async setSource(machineId: string, source: TermsSource): Promise<void> {
    this.#sqlite.run(query.updateTable("machine").set({ source }).where("id", "=", machineId));
  }

  async setMembership(machineId: string, group: string | null): Promise<void> {
    this.#sqlite.run(
      query
        .updateTable("machine")
        .set({ in_group: group, let_in: null, ...NOT_GONE })
        .where("id", "=", machineId),
    );
  }

  async setGroup(group: GroupRow): Promise<void> {
    const columns = columnsOfGroup(group);
    this.#sqlite.run(
      query
        .insertInto("machine_group")
        .values(columns)
        .onConflict((c) => c.column("name").doUpdateSet(columns)),
    );
  }

  async deleteGroup(name: string): Promise<void> {
    this.#sqlite.run(query.updateTable("machine").set({ in_group: null }).where("in_group", "=", name));
    this.#sqlite.run(query.deleteFrom("machine_group").where("name", "=", name));
  }

  async setAlive(machineId: string, alive: AliveRow): Promise<void> {
    const { timeoutMs, untilMs, savedMs, madeAt, isExtended } = alive;
    const set = this.#sqlite.prepare(SET_ALIVE);
    this.#sqlite.guard(() => set.run(timeoutMs, untilMs, savedMs, madeAt, isExtended ? 1 : 0, machineId));
  }

  async setSeen(machineId: string, seenMs: number, seenFrom: Buffer | null): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(SET_SEEN).run(seenMs, seenFrom, machineId));
  }

  async setGone(machineId: string, { goneIn, goneFrom }: Gone): Promise<void> {
    const gone = { gone_in: goneIn, gone_from: goneFrom };
    this.#sqlite.run(query.updateTable("machine").set(gone).where("id", "=", machineId));
  }

  async setLetIn(machineId: string, window: number): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(SET_LET_IN).run(window, machineId));
  }

  async setLease(machineId: string, lease: LeaseRow | null): Promise<void> {
    this.#sqlite.run(query.updateTable("machine").set(columnsOfLease(lease)).where("id", "=", machineId));
  }

  async useLease(latchId: string, { lease, atMs, from }: LeaseUse): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(USE_LEASE).run(lease, atMs, from, latchId));
  }

  #dropRequests(machineId: string): void {
    this.#sqlite.run(query.deleteFrom("request").where("machine", "=", machineId));
  }

  async setRequest(row: RequestRow): Promise<void> {
    const columns = columnsOfRequest(row);
    this.#sqlite.run(
      query
        .insertInto("request")
        .values(columns)
        .onConflict((c) => c.column("id").doUpdateSet(columns)),
    );
  }

  async deleteRequest(requestId: string): Promise<void> {
    this.#sqlite.run(query.deleteFrom("request").where("id", "=", requestId));
  }

  async setDay(latchId: string, day: Day): Promise<void> {
    this.#sqlite.guard(() => writeDay(this.#sqlite, latchId, day));
  }

  async setDayReach(size: number): Promise<void> {
    this.#sqlite.run(query.updateTable("day_reach").set({ size }).where("size", "<", size));
  }

  async insertLatch(latch: LatchRow, keys: readonly KeyRow[]): Promise<void> {
    const { machineId, createdMs, use: _use, ...rest } = latch;
    const unused = { use_lease: null, use_ms: null, use_from: null };
    const row = { ...rest, machine: machineId, created_ms: createdMs, ...unused };
    this.#sqlite.run(query.insertInto("latch").values(row));
    this.#insertKeys(latch.id, keys);
  }

  #insertKeys(latch: string, keys: readonly KeyRow[]): void {
    for (const { publicJwk, ...key } of keys) {
      this.#sqlite.run(query.insertInto("latch_key").values({ ...key, latch, jwk: publicJwk }));
    }
  }

  async rotateLatch(
    latchId: string,
    { epoch, advertisement, cell }: Pick<LatchRow, "epoch" | "advertisement"> & { readonly cell: number },
    keys: readonly KeyRow[],
  ): Promise<void> {
    const latch = this.#sqlite.first(query.selectFrom("latch").select(["epoch", "cell"]).where("id", "=", latchId));
    const former = { latch: latchId, epoch: latch?.epoch ?? 0, cell: latch?.cell ?? 0 };
    this.#sqlite.run(query.insertInto("former_epoch").values(former));
    this.#sqlite.run(query.updateTable("latch").set({ epoch, advertisement, cell }).where("id", "=", latchId));
    this.#insertKeys(latchId, keys);
  }

  async retireFormer(latchId: string): Promise<void> {
    const [former] = await this.formers({ latch: latchId });
    if (former === undefined) return;
    this.#sqlite.run(query.deleteFrom("latch_key").where("latch", "=", latchId).where("epoch", "=", former.epoch));
    this.#forgetFormer(former);
    this.#sqlite.run(query.updateTable("scrub").set({ owed: 1 }));
  }

  #forgetFormer(former: FormerEpoch): void {
    this.#sqlite.run(query.deleteFrom("former_epoch").where("latch", "=", former.latch));
    this.#bury(former);
  }

  async setLatch(latchId: string, state: State): Promise<void> {
    this.#sqlite.run(query.updateTable("latch").set({ state }).where("id", "=", latchId));
  }

  async destroyKeys(latchId: string): Promise<void> {
    this.#sqlite.run(query.deleteFrom("latch_key").where("latch", "=", latchId));
    this.#bury(this.#sqlite.first(query.selectFrom("latch").select("cell").where("id", "=", latchId)));
    for (const former of await this.formers({ latch: latchId })) this.#forgetFormer(former);
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

  async setWitness(witness: WitnessRow): Promise<void> {
    this.witnessTables.set(witness);
  }

  async deleteWitness(name: string): Promise<void> {
    this.witnessTables.delete(name);
  }

  async insertCosignature(size: number, witness: string, cosignature: Cosignature): Promise<void> {
    this.witnessTables.insert(size, witness, cosignature);
  }

  async setWitnessedLog(log: WitnessedLogRow): Promise<void> {
    this.witnessTables.setLog(log);
  }

  async deleteWitnessedLog(origin: string): Promise<void> {
    this.witnessTables.deleteLog(origin);
  }

  /** The cells whose keys were destroyed since the last call. */
  takeDead(): number[] {
    const dead = this.#dead;
    this.#dead = [];
    return dead;
  }
}
