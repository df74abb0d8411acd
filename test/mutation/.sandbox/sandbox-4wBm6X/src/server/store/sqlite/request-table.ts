// @ts-nocheck
import { type Compilable, sql } from "kysely";
import type { Approval } from "../../policy/request.ts";
import type { RequestRow } from "../port.ts";
import { query } from "./schema.ts";

/**
 * What the policy `approval` needs: what it asks for, for whom a window is open, what waits. And
 * what limits the releases of a machine.
 */
export function approvalTables(): Compilable[] {
  const { schema } = query;
  return [
    schema.alterTable("machine").addColumn("approval_of", "integer"),
    schema.alterTable("machine").addColumn("approval_ms", "integer"),
    schema.alterTable("machine").addColumn("lease_to", "text"),
    schema.alterTable("machine").addColumn("limits", "text"),
    schema.alterTable("latch").addColumn("day_ms", "integer"),
    schema.alterTable("latch").addColumn("day_count", "integer"),
    schema
      .createTable("request")
      .addColumn("id", "text", (c) => c.primaryKey().notNull())
      .addColumn("machine", "text", (c) => c.notNull().references("machine.id"))
      .addColumn("address", "text", (c) => c.notNull())
      .addColumn("network", "text", (c) => c.notNull())
      .addColumn("around", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull().check(sql`state in ('waiting', 'denied')`))
      .addColumn("approved_by", "text", (c) => c.notNull())
      .addColumn("created_ms", "integer", (c) => c.notNull())
      .addColumn("expires_ms", "integer", (c) => c.notNull())
      .addColumn("made_at", "integer", (c) => c.notNull())
      .addColumn("made_by", "integer")
      .addUniqueConstraint("request_address", ["machine", "address"])
      .modifyEnd(sql`strict`),
    schema.createIndex("request_around").on("request").column("around"),
  ];
}

/** The columns of a request. */
export const REQUEST = [
  "id",
  "machine as machineId",
  "address as from",
  "network",
  "around",
  "state",
  "approved_by",
  "created_ms as createdMs",
  "expires_ms as expiresMs",
  "made_at as madeAt",
  "made_by as by",
] as const;

/** A request as its columns hold it. */
interface RequestColumns extends Omit<RequestRow, "approvedBy"> {
  /** User ids in decimal, with commas in between. */
  readonly approved_by: string;
}

/** Reads a request. */
export function requestOf({ approved_by, ...row }: RequestColumns): RequestRow {
  return { ...row, approvedBy: approved_by === "" ? [] : approved_by.split(",").map(Number) };
}

/** Writes a request. */
export function columnsOfRequest({
  machineId,
  from,
  approvedBy,
  createdMs,
  expiresMs,
  madeAt,
  by,
  ...row
}: RequestRow) {
  return {
    ...row,
    machine: machineId,
    address: from,
    approved_by: approvedBy.join(","),
    created_ms: createdMs,
    expires_ms: expiresMs,
    made_at: madeAt,
    made_by: by,
  };
}

/** What a machine's policy asks for, as its columns hold it; null where it is another policy. */
export interface ApprovalColumns {
  readonly approval_of: number | null;
  readonly approval_ms: number | null;
}

/** Reads it. */
export function approvalOf({ approval_of: of, approval_ms: timeoutMs }: ApprovalColumns): Approval | null {
  return of === null || timeoutMs === null ? null : { of, timeoutMs };
}

/** Writes it. */
export function columnsOfApproval(approval: Approval | null): ApprovalColumns {
  return { approval_of: approval?.of ?? null, approval_ms: approval?.timeoutMs ?? null };
}
