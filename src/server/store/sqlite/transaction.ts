import type { State } from "../../policy/decide.ts";
import type { LeaseUse } from "../../policy/lease.ts";
import type { Day } from "../../policy/limits.ts";
import type { Crowd } from "../../policy/request.ts";
import type {
  AliveRow,
  CrowdPlace,
  FormerEpoch,
  InviteRow,
  InviteState,
  KeyRow,
  LatchRow,
  LeaseRow,
  MachineRow,
  PolicyTerms,
  ReleaseRow,
  RequestRow,
  Transaction,
} from "../port.ts";
import { columnsOfAlive, NO_ALIVE } from "./alive-columns.ts";
import {
  columnsOfLease,
  dayOf,
  type LeaseColumns,
  latchOf,
  leaseOf,
  leaseUseOf,
  MACHINE,
  machineOf,
  NO_LEASE,
  USE,
  type UseColumns,
} from "./lease-columns.ts";
import { SqliteLog } from "./log.ts";
import { columnsOfApproval, columnsOfRequest, REQUEST, requestOf } from "./request-table.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";

/**
 * The hot path's own statements, because Kysely would write the same text anew each time. There are
 * three reads by key, because one that joins the three tables takes four times as long
 * (docs/decisions: the store's reads).
 */
const RELEASE_LATCH =
  "select machine, state, epoch, cell, use_lease, use_ms, use_from, day_ms, day_count from latch where id = ?";
const RELEASE_MACHINE =
  "select state, policy, leases, lease_until, lease_grace, lease_made_at, lease_by, lease_to, limits from machine where id = ?";
const COUNT_DAY = "update latch set day_ms = ?, day_count = ? where id = ?";
const USE_LEASE = "update latch set use_lease = ?, use_ms = ?, use_from = ? where id = ?";
/** So many leases are ended in one transaction at most. */
const ENDED_LEASES = 256;
/** So many machines are read at once at a start. */
const ALIVE_PAGE = 4096;
const SET_SEEN = "update machine set seen_ms = ? where id = ?";
const SET_ALIVE =
  "update machine set alive_timeout = ?, alive_until = ?, alive_saved = ?, alive_made_at = ?, alive_extended = ? where id = ?";
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
  ...USE,
] as const;
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

const COUNT_REQUESTS = `select count(*) filter (where machine = ?) as ofMachine,
    count(*) filter (where machine = ? and network = ?) as ofNetwork,
    count(*) filter (where around = ?) as around, count(*) as "all"
    from request where not (machine = ? and address = ?)`;

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
      const latch = this.#sqlite.prepare(RELEASE_LATCH).get(latchId) as Pick<LatchRow, "state" | "epoch" | "cell"> &
        UseColumns & { machine: string };
      if (latch === undefined) return null;
      const machine = this.#sqlite.prepare(RELEASE_MACHINE).get(latch.machine) as Pick<
        MachineRow,
        "state" | "policy" | "limits"
      > &
        LeaseColumns;
      const key = this.#sqlite.prepare(RELEASE_KEY).get(latchId, latch.epoch) as
        | { kid: string; wrapped: Buffer }
        | undefined;
      return {
        machineId: latch.machine,
        machineState: machine.state,
        policy: machine.policy,
        limits: machine.limits,
        lease: leaseOf(machine),
        latchState: latch.state,
        use: leaseUseOf(latch),
        day: dayOf(latch),
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
    const row = this.#sqlite.first(query.selectFrom("latch").select(LATCH).where("id", "=", latchId));
    return row === null ? null : latchOf(row);
  }

  async formers(of: { readonly latch: string } | { readonly machine: string }): Promise<FormerEpoch[]> {
    const formers = query
      .selectFrom("former_epoch")
      .select(["former_epoch.latch", "former_epoch.epoch", "former_epoch.cell"]);
    if ("latch" in of) return this.#sqlite.all(formers.where("former_epoch.latch", "=", of.latch));
    return this.#sqlite.all(
      formers.innerJoin("latch", "latch.id", "former_epoch.latch").where("latch.machine", "=", of.machine),
    );
  }

  async latchByNonce(machineId: string, nonce: string): Promise<LatchRow | null> {
    const row = this.#sqlite.first(
      query.selectFrom("latch").select(LATCH).where("machine", "=", machineId).where("nonce", "=", nonce),
    );
    return row === null ? null : latchOf(row);
  }

  async latchesOf(machineId: string): Promise<LatchRow[]> {
    const rows = this.#sqlite.all(
      query.selectFrom("latch").select(LATCH).where("machine", "=", machineId).orderBy("created_ms").orderBy("id"),
    );
    return rows.map(latchOf);
  }

  async machine(machineId: string): Promise<MachineRow | null> {
    const row = this.#sqlite.first(query.selectFrom("machine").select(MACHINE).where("id", "=", machineId));
    return row === null ? null : machineOf(row);
  }

  async machineByName(name: string): Promise<MachineRow | null> {
    const row = this.#sqlite.first(
      query
        .selectFrom("machine")
        .select(MACHINE)
        .where("name", "=", name)
        .orderBy((e) => e("state", "=", "revoked"))
        .orderBy("enrolled_ms", "desc")
        .limit(1),
    );
    return row === null ? null : machineOf(row);
  }

  async machines(): Promise<MachineRow[]> {
    return this.#sqlite
      .all(query.selectFrom("machine").select(MACHINE).orderBy("name").orderBy("enrolled_ms"))
      .map(machineOf);
  }

  async machinesPastLease(atMs: number): Promise<MachineRow[]> {
    return this.#sqlite
      .all(query.selectFrom("machine").select(MACHINE).where("lease_until", "<=", atMs).limit(ENDED_LEASES))
      .map(machineOf);
  }

  async machinesUnderAlive(afterId: string): Promise<MachineRow[]> {
    const under = query.selectFrom("machine").select(MACHINE).where("policy", "=", "alive").where("id", ">", afterId);
    return this.#sqlite.all(under.where("state", "!=", "revoked").orderBy("id").limit(ALIVE_PAGE)).map(machineOf);
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

  async insertMachine({ enrolledMs, lease, approval, alive, seenMs, ...row }: MachineRow): Promise<void> {
    const columns = { ...row, enrolled_ms: enrolledMs, seen_ms: seenMs, ...NO_LEASE, ...columnsOfLease(lease) };
    const terms = { ...columnsOfApproval(approval), ...columnsOfAlive(alive) };
    this.#sqlite.run(query.insertInto("machine").values({ ...columns, ...terms }));
  }

  async setMachine(machineId: string, state: State, epoch: number): Promise<void> {
    const lease = state === "active" ? {} : NO_LEASE;
    this.#sqlite.run(
      query
        .updateTable("machine")
        .set({ state, epoch, ...lease })
        .where("id", "=", machineId),
    );
    if (state !== "active") this.#dropRequests(machineId);
  }

  async setPolicy(machineId: string, { policy, approval, limits }: PolicyTerms): Promise<void> {
    this.#sqlite.run(
      query
        .updateTable("machine")
        .set({ policy, limits, ...columnsOfApproval(approval), ...NO_LEASE, ...NO_ALIVE })
        .where("id", "=", machineId),
    );
    this.#dropRequests(machineId);
  }

  async setAlive(machineId: string, alive: AliveRow): Promise<void> {
    const { timeoutMs, untilMs, savedMs, madeAt, isExtended } = alive;
    const set = this.#sqlite.prepare(SET_ALIVE);
    this.#sqlite.guard(() => set.run(timeoutMs, untilMs, savedMs, madeAt, isExtended ? 1 : 0, machineId));
  }

  async setSeen(machineId: string, seenMs: number): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(SET_SEEN).run(seenMs, machineId));
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

  async request(requestId: string): Promise<RequestRow | null> {
    const row = this.#sqlite.first(query.selectFrom("request").select(REQUEST).where("id", "=", requestId));
    return row === null ? null : requestOf(row);
  }

  async requestFrom(machineId: string, from: string): Promise<RequestRow | null> {
    const row = this.#sqlite.first(
      query.selectFrom("request").select(REQUEST).where("machine", "=", machineId).where("address", "=", from),
    );
    return row === null ? null : requestOf(row);
  }

  async requests(): Promise<RequestRow[]> {
    return this.#sqlite
      .all(query.selectFrom("request").select(REQUEST).orderBy("made_at").orderBy("id"))
      .map(requestOf);
  }

  async crowdAround({ machineId, from, network, around }: CrowdPlace): Promise<Crowd> {
    return this.#sqlite.guard(
      () => this.#sqlite.prepare(COUNT_REQUESTS).get(machineId, machineId, network, around, machineId, from) as Crowd,
    );
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

  async setDay(latchId: string, { sinceMs, count }: Day): Promise<void> {
    this.#sqlite.guard(() => this.#sqlite.prepare(COUNT_DAY).run(sinceMs, count, latchId));
  }

  async insertLatch(latch: LatchRow, keys: readonly KeyRow[]): Promise<void> {
    const { machineId, createdMs, use: _use, day: _day, ...rest } = latch;
    const unused = { use_lease: null, use_ms: null, use_from: null, day_ms: null, day_count: null };
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

  /** The cells whose keys were destroyed since the last call. */
  takeDead(): number[] {
    const dead = this.#dead;
    this.#dead = [];
    return dead;
  }
}
