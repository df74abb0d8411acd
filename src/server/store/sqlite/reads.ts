import type { State } from "../../policy/decide.ts";
import type { Day } from "../../policy/limits.ts";
import type { Crowd } from "../../policy/request.ts";
import type { Reads } from "../port.ts";
import type {
  CosignatureRow,
  CrowdPlace,
  FormerEpoch,
  GroupRow,
  InviteRow,
  KeyRow,
  LatchRow,
  MachineRow,
  ReleaseRow,
  RequestRow,
  WatchedMachine,
  WitnessedLogRow,
  WitnessRow,
} from "../rows.ts";
import { ALIVE, aliveOf } from "./alive-columns.ts";
import { readDay, readDayReach, readDaysBeyond } from "./day-table.ts";
import { GROUP, groupOf } from "./group-table.ts";
import { INVITE } from "./invite-table.ts";
import {
  type LeaseColumns,
  latchOf,
  leaseOf,
  leaseUseOf,
  MACHINE,
  machineOf,
  USE,
  type UseColumns,
} from "./lease-columns.ts";
import { SqliteLog } from "./log.ts";
import { REQUEST, requestOf } from "./request-table.ts";
import { query } from "./schema.ts";
import type { Sqlite } from "./sqlite.ts";
import { SqliteWitnesses } from "./witness-table.ts";

/**
 * The hot path's own statements, because Kysely would write the same text anew each time. There are
 * three reads by key, because one that joins the three tables takes four times as long
 * (docs/decisions: the store's reads).
 */
const RELEASE_LATCH = "select machine, state, epoch, cell, use_lease, use_ms, use_from from latch where id = ?";
const RELEASE_MACHINE =
  "select state, policy, leases, lease_until, lease_grace, lease_made_at, lease_by, lease_to, limits, " +
  "in_group as inGroup, gone_in as goneIn, gone_from as goneFrom, let_in as letIn from machine where id = ?";
const RELEASE_KEY = "select kid, wrapped from latch_key where latch = ? and epoch = ? and purpose = 'exchange'";
/** So many leases are ended in one transaction at most. */
const ENDED_LEASES = 256;
/**
 * A start reads a million machines: no more columns than it needs, as arrays, in the order in which
 * they lie on the disk.
 */
const SELECT_ALIVE = `select rowid, id, state, gone_in, ${ALIVE.join(", ")} from machine
    where rowid > ? and policy = 'alive' and state != 'revoked' order by rowid limit 4096`;

type AliveFields = [place: number, id: string, state: State, goneIn: number | null, ...(number | null)[]];

function watchedOf(fields: AliveFields): WatchedMachine {
  const [place, id, state, goneIn, timeout = null, until = null, saved = null, madeAt = null, extended = null] = fields;
  const alive = aliveOf({
    alive_timeout: timeout,
    alive_until: until,
    alive_saved: saved,
    alive_made_at: madeAt,
    alive_extended: extended,
  });
  return { place, id, state, goneIn, alive };
}

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

const COUNT_MEMBERS =
  "select count(*) as machines, count(gone_in) as gone from machine where in_group = ? and state != 'revoked'";
const COUNT_REQUESTS = `select count(*) filter (where machine = ?) as ofMachine,
    count(*) filter (where machine = ? and network = ?) as ofNetwork,
    count(*) filter (where around = ?) as around, count(*) as "all"
    from request where not (machine = ? and address = ?)`;

/** The port's reads over SQLite. Whoever holds one is inside a transaction. */
export class SqliteReads extends SqliteLog implements Reads {
  readonly #sqlite: Sqlite;
  protected readonly witnessTables: SqliteWitnesses;

  constructor(sqlite: Sqlite, storeId: string) {
    super(sqlite, storeId);
    this.#sqlite = sqlite;
    this.witnessTables = new SqliteWitnesses(sqlite, storeId);
  }

  async witnesses(): Promise<WitnessRow[]> {
    return this.witnessTables.all();
  }

  async cosigned(): Promise<CosignatureRow[]> {
    return this.witnessTables.cosigned();
  }

  async witnessedLogs(): Promise<WitnessedLogRow[]> {
    return this.witnessTables.logs();
  }

  async witnessedLog(origin: string): Promise<WitnessedLogRow | null> {
    return this.witnessTables.log(origin);
  }

  async release(latchId: string): Promise<ReleaseRow | null> {
    return this.#sqlite.guard(() => {
      const latch = this.#sqlite.prepare(RELEASE_LATCH).get(latchId) as Pick<LatchRow, "state" | "epoch" | "cell"> &
        UseColumns & { machine: string };
      if (latch === undefined) return null;
      const machine = this.#sqlite.prepare(RELEASE_MACHINE).get(latch.machine) as Pick<
        MachineRow,
        "state" | "policy" | "limits" | "goneIn" | "goneFrom"
      > &
        Pick<ReleaseRow, "letIn"> & { readonly inGroup: string | null } & LeaseColumns;
      const key = this.#sqlite.prepare(RELEASE_KEY).get(latchId, latch.epoch) as
        | { kid: string; wrapped: Buffer }
        | undefined;
      return {
        machineId: latch.machine,
        machineState: machine.state,
        policy: machine.policy,
        limits: machine.limits,
        group: machine.inGroup,
        goneIn: machine.goneIn,
        goneFrom: machine.goneFrom,
        letIn: machine.letIn,
        lease: leaseOf(machine),
        latchState: latch.state,
        use: leaseUseOf(latch),
        latchEpoch: latch.epoch,
        exchange: key === undefined ? null : { ...key, cell: latch.cell ?? 0 },
      };
    });
  }

  async day(latchId: string): Promise<Day | null> {
    return this.#sqlite.guard(() => readDay(this.#sqlite, latchId));
  }

  async dayReach(): Promise<number> {
    return readDayReach(this.#sqlite);
  }

  async daysBeyond(): Promise<Map<string, Day>> {
    return this.#sqlite.guard(() => readDaysBeyond(this.#sqlite));
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

  async machinesUnderAlive(after: number): Promise<WatchedMachine[]> {
    const select = this.#sqlite.prepare(SELECT_ALIVE).raw();
    return (this.#sqlite.guard(() => select.all(after)) as AliveFields[]).map(watchedOf);
  }

  async group(name: string): Promise<GroupRow | null> {
    const row = this.#sqlite.first(query.selectFrom("machine_group").select(GROUP).where("name", "=", name));
    return row === null ? null : groupOf(row);
  }

  async groups(): Promise<GroupRow[]> {
    return this.#sqlite.all(query.selectFrom("machine_group").select(GROUP).orderBy("name")).map(groupOf);
  }

  async machinesIn(group: string): Promise<MachineRow[]> {
    const members = query.selectFrom("machine").select(MACHINE).where("in_group", "=", group);
    return this.#sqlite.all(members.where("state", "!=", "revoked").orderBy("name")).map(machineOf);
  }

  async countIn(group: string): Promise<{ readonly machines: number; readonly gone: number }> {
    return this.#sqlite.guard(
      () => this.#sqlite.prepare(COUNT_MEMBERS).get(group) as { readonly machines: number; readonly gone: number },
    );
  }

  async aliveIn(group: string): Promise<{ readonly id: string; readonly goneIn: number | null }[]> {
    const members = query.selectFrom("machine").select(["id", "gone_in as goneIn"]).where("in_group", "=", group);
    return this.#sqlite.all(members.where("policy", "=", "alive").where("state", "=", "active"));
  }

  async goneIn(group: string, limit: number): Promise<MachineRow[]> {
    const members = query.selectFrom("machine").select(MACHINE).where("in_group", "=", group);
    return this.#sqlite.all(members.where("gone_in", "is not", null).orderBy("name").limit(limit)).map(machineOf);
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
}
