import type { LeaseUse } from "../../policy/lease.ts";
import type { LatchRow, LeaseRow, MachineRow } from "../rows.ts";
import { ALIVE, type AliveColumns, aliveOf } from "./alive-columns.ts";
import { type ApprovalColumns, approvalOf } from "./request-table.ts";

/** The columns of a machine. */
export const MACHINE = [
  "id",
  "name",
  "state",
  "epoch",
  "enrolled_ms as enrolledMs",
  "policy",
  "leases",
  "lease_until",
  "lease_grace",
  "lease_made_at",
  "lease_by",
  "lease_to",
  "approval_of",
  "approval_ms",
  "seen_ms as seenMs",
  ...ALIVE,
  "limits",
  "source",
  "in_group as group",
  "seen_from as seenFrom",
  "gone_in as goneIn",
  "gone_from as goneFrom",
] as const;

/** A machine's lease as its columns hold it. All are null where there is none. */
export interface LeaseColumns {
  readonly leases: number;
  readonly lease_until: number | null;
  readonly lease_grace: number | null;
  readonly lease_made_at: number | null;
  readonly lease_by: number | null;
  readonly lease_to: string | null;
}

/** Reads a machine's lease; null where it has none. */
export function leaseOf(row: LeaseColumns): LeaseRow | null {
  const { leases: number, lease_until: untilMs, lease_grace: graceMs, lease_made_at: madeAt } = row;
  if (untilMs === null || graceMs === null || madeAt === null) return null;
  return { number, untilMs, graceMs, madeAt, by: row.lease_by, to: row.lease_to };
}

/** Writes a lease; what is left out stays as it is: the count of leases. */
export function columnsOfLease(lease: LeaseRow | null): Partial<LeaseColumns> {
  if (lease === null) return NO_LEASE;
  const { number, untilMs, graceMs, madeAt, by, to } = lease;
  return {
    leases: number,
    lease_until: untilMs,
    lease_grace: graceMs,
    lease_made_at: madeAt,
    lease_by: by,
    lease_to: to,
  };
}

/** The columns of a machine that has no lease. */
export const NO_LEASE = {
  lease_until: null,
  lease_grace: null,
  lease_made_at: null,
  lease_by: null,
  lease_to: null,
} as const;

/** A machine's columns. */
type MachineColumns = LeaseColumns & ApprovalColumns & AliveColumns & Omit<MachineRow, "lease" | "approval" | "alive">;

/** Reads a machine. */
export function machineOf(row: MachineColumns): MachineRow {
  const {
    id,
    name,
    state,
    epoch,
    enrolledMs,
    policy,
    limits,
    source,
    group,
    leases,
    seenMs,
    seenFrom,
    goneIn,
    goneFrom,
  } = row;
  const [approval, lease, alive] = [approvalOf(row), leaseOf(row), aliveOf(row)];
  const terms = { policy, approval, limits, source };
  return {
    id,
    name,
    state,
    epoch,
    enrolledMs,
    ...terms,
    leases,
    lease,
    alive,
    seenMs,
    seenFrom,
    group,
    goneIn,
    goneFrom,
  };
}

/** The columns of a latch's first release within a lease. */
export const USE = ["use_lease", "use_ms", "use_from"] as const;

/** The same as they are read. */
export interface UseColumns {
  readonly use_lease: number | null;
  readonly use_ms: number | null;
  readonly use_from: string | null;
}

/** Reads a latch's first release within a lease; null where there was none. */
export function leaseUseOf({ use_lease: lease, use_ms: atMs, use_from: from }: UseColumns): LeaseUse | null {
  return lease === null || atMs === null || from === null ? null : { lease, atMs, from };
}

/** Reads a latch. */
export function latchOf(row: UseColumns & Omit<LatchRow, "use">): LatchRow {
  const { use_lease, use_ms, use_from, ...rest } = row;
  return { ...rest, use: leaseUseOf(row) };
}
