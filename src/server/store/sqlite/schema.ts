import { DummyDriver, type Generated, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
import type { LatestKind } from "../../audit/latest.ts";
import type { State } from "../../policy/decide.ts";
import type { Policy } from "../../policy/lease.ts";
import type { SiteState } from "../../policy/site.ts";
import type { TermsSource } from "../../policy/terms.ts";
import type { InviteState, KeyPurpose, RequestState } from "../rows.ts";

/** The tables of docs/format/store.md, as the last migration leaves them. */
interface Schema {
  store: {
    row: number;
    id: string;
    created_ms: number;
    identity: string;
    wrapped_identity: Buffer;
    master_check: Buffer;
    witness: Generated<string | null>;
    wrapped_witness: Generated<Buffer | null>;
  };
  machine: {
    id: string;
    name: string;
    state: State;
    epoch: number;
    enrolled_ms: number;
    policy: Policy;
    leases: number;
    lease_until: number | null;
    lease_grace: number | null;
    lease_made_at: number | null;
    lease_by: number | null;
    lease_to: string | null;
    approval_of: number | null;
    approval_ms: number | null;
    alive_timeout: number | null;
    alive_until: number | null;
    alive_saved: number | null;
    alive_made_at: number | null;
    alive_extended: number | null;
    seen_ms: number | null;
    limits: string | null;
    source: TermsSource;
    in_group: string | null;
    seen_from: Buffer | null;
    gone_in: number | null;
    gone_from: Buffer | null;
    let_in: number | null;
  };
  machine_group: {
    name: string;
    created_ms: number;
    policy: Policy | null;
    approval_of: number | null;
    approval_ms: number | null;
    timeout_ms: number | null;
    limits: string | null;
    holds: Generated<number>;
    windows: Generated<number>;
    site: Generated<SiteState>;
    site_since: number | null;
    site_by: number | null;
    site_until: number | null;
    site_saved: number | null;
    site_made_at: number | null;
    site_count: number | null;
    site_per: number | null;
  };
  latch: {
    id: string;
    machine: string;
    volume: string;
    state: State;
    epoch: number;
    nonce: string;
    created_ms: number;
    advertisement: string;
    cell: number | null;
    use_lease: number | null;
    use_ms: number | null;
    use_from: string | null;
  };
  latch_day: { latch: string; since_ms: number; count: number };
  latch_key: { latch: string; epoch: number; purpose: KeyPurpose; kid: string; jwk: string; wrapped: Buffer };
  former_epoch: { latch: string; epoch: number; cell: number };
  invite: {
    id: string;
    name: string;
    state: InviteState;
    wrapped: Buffer;
    created_ms: number;
    expires_ms: number;
    made_at: number;
    machine: string | null;
    cell: number | null;
    in_group: string | null;
  };
  request: {
    id: string;
    machine: string;
    address: string;
    network: string;
    around: string;
    state: RequestState;
    approved_by: string;
    created_ms: number;
    expires_ms: number;
    made_at: number;
    made_by: number | null;
  };
  dead: { cell: number };
  entry: { number: number; body: Buffer };
  tree: { row: number; size: number; edge: Buffer; times: Generated<Buffer> };
  checkpoint: { size: number; root: Buffer; signature: Buffer };
  scrub: { row: number; owed: number };
  latest: { kind: LatestKind; subject: string; entry: number };
  latest_reach: { row: number; size: number };
  day_reach: { row: number; size: number };
  node: { level: number; number: number; hash: Buffer };
  rollback: { entry: number };
  witness: { name: string; key: Buffer; url: string; seen: number };
  cosignature: { size: number; witness: string; seconds: number; signature: Buffer };
  witnessed_log: {
    origin: string;
    key: Buffer;
    size: number;
    root: Buffer;
    note: string;
    cosigned_ms: number | null;
  };
}

/** Writes SQL and runs none of it: the store runs it, inside its own transactions. */
export const query = new Kysely<Schema>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
});
