import type { LeaseUse } from "../../policy/lease.ts";
import type { LatchRow, LeaseRow, MachineRow } from "../port.ts";
import { ALIVE, type AliveColumns, aliveOf } from "./alive-columns.ts";

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
  "seen_ms as seenMs",
  ...ALIVE,
] as const;

/** A machine's lease as its columns hold it. All are null where there is none. */
export interface LeaseColumns {
  readonly leases: number;
  readonly lease_until: number | null;
  readonly lease_grace: number | null;
  readonly lease_made_at: number | null;
  readonly lease_by: number | null;
}

/** Reads a machine's lease; null where it has none. */
export function leaseOf(row: LeaseColumns): LeaseRow | null {
  const { leases: number, lease_until: untilMs, lease_grace: graceMs, lease_made_at: madeAt, lease_by: by } = row;
  if (untilMs === null || graceMs === null || madeAt === null) return null;
  return { number, untilMs, graceMs, madeAt, by };
}

/** Writes a lease; what is left out stays as it is: the count of leases. */
export function columnsOfLease(lease: LeaseRow | null): Partial<LeaseColumns> {
  if (lease === null) return { lease_until: null, lease_grace: null, lease_made_at: null, lease_by: null };
  const { number, untilMs, graceMs, madeAt, by } = lease;
  return { leases: number, lease_until: untilMs, lease_grace: graceMs, lease_made_at: madeAt, lease_by: by };
}

/** Reads a machine. */
export function machineOf(row: LeaseColumns & AliveColumns & Omit<MachineRow, "lease" | "alive">): MachineRow {
  const { id, name, state, epoch, enrolledMs, policy, leases, seenMs } = row;
  return { id, name, state, epoch, enrolledMs, policy, leases, lease: leaseOf(row), alive: aliveOf(row), seenMs };
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
export function latchOf({ use_lease, use_ms, use_from, ...row }: UseColumns & Omit<LatchRow, "use">): LatchRow {
  return { ...row, use: leaseUseOf({ use_lease, use_ms, use_from }) };
}
