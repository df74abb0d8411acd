// @ts-nocheck
import { type Compilable, sql } from "kysely";
import type { Policy } from "../../policy/lease.ts";
import type { SiteState } from "../../policy/site.ts";
import { DEFAULT_GROUP } from "../../policy/terms.ts";
import type { GroupRow, SiteRow } from "../port.ts";
import { type ApprovalColumns, approvalOf, columnsOfApproval } from "./request-table.ts";
import { query } from "./schema.ts";

/**
 * Groups, what is said of new machines, and where a machine's policy comes from. Nobody has said
 * anything of a machine that is released as every machine was until now. And sites: whether they
 * are held, and which machines fell silent with theirs.
 */
export function groupTables(): Compilable[] {
  const { schema } = query;
  const integers = ["site_since", "site_by", "site_until", "site_saved", "site_made_at", "site_count", "site_per"];
  let table = schema
    .createTable("machine_group")
    .addColumn("name", "text", (c) => c.primaryKey().notNull())
    .addColumn("created_ms", "integer", (c) => c.notNull())
    .addColumn("policy", "text", (c) => c.check(sql`policy in ('always', 'alive', 'lease', 'approval')`))
    .addColumn("approval_of", "integer")
    .addColumn("approval_ms", "integer")
    .addColumn("timeout_ms", "integer")
    .addColumn("limits", "text")
    .addColumn("holds", "integer", (c) => c.notNull().defaultTo(0))
    .addColumn("windows", "integer", (c) => c.notNull().defaultTo(0))
    .addColumn("site", "text", (c) => c.notNull().defaultTo("free").check(sql`site in ('free', 'held', 'open')`));
  for (const name of integers) table = table.addColumn(name, "integer");
  const machine = () => schema.alterTable("machine");
  return [
    table.modifyEnd(sql`strict`),
    query.insertInto("machine_group").values({ name: DEFAULT_GROUP, created_ms: 0, policy: "always" }),
    machine().addColumn("source", "text", (c) =>
      c.notNull().defaultTo("machine").check(sql`source in ('machine', 'group', 'default')`),
    ),
    query.updateTable("machine").set({ source: "default" }).where("policy", "=", "always").where("limits", "is", null),
    machine().addColumn("in_group", "text"),
    schema.createIndex("machine_in_group").on("machine").column("in_group").where(sql.ref("in_group"), "is not", null),
    machine().addColumn("seen_from", "blob"),
    machine().addColumn("gone_in", "integer"),
    machine().addColumn("gone_from", "blob"),
    machine().addColumn("let_in", "integer"),
  ];
}

const SITE = [
  "holds",
  "windows",
  "site",
  "site_since",
  "site_by",
  "site_until",
  "site_saved",
  "site_made_at",
  "site_count",
  "site_per",
] as const;

/** The columns of a group. */
export const GROUP = [
  "name",
  "created_ms",
  "policy",
  "approval_of",
  "approval_ms",
  "timeout_ms",
  "limits",
  ...SITE,
] as const;

/** The same as they are read. `policy` is null where the group has none of its own. */
interface GroupColumns extends ApprovalColumns {
  readonly name: string;
  readonly created_ms: number;
  readonly policy: Policy | null;
  readonly timeout_ms: number | null;
  readonly limits: string | null;
  readonly holds: number;
  readonly windows: number;
  readonly site: SiteState;
  readonly site_since: number | null;
  readonly site_by: number | null;
  readonly site_until: number | null;
  readonly site_saved: number | null;
  readonly site_made_at: number | null;
  readonly site_count: number | null;
  readonly site_per: number | null;
}

/** Reads a group. */
export function groupOf(row: GroupColumns): GroupRow {
  const { name, created_ms: createdMs, policy, timeout_ms: timeoutMs, limits } = row;
  const terms = policy === null ? null : { policy, approval: approvalOf(row), timeoutMs, limits };
  return { name, createdMs, terms, site: siteOf(row) };
}

function siteOf(row: GroupColumns): SiteRow {
  const { site: state, holds: hold, windows: window, site_since: sinceMs, site_by: by } = row;
  const { site_until: untilMs, site_saved: savedMs, site_made_at: madeAt, site_count: count, site_per: perMs } = row;
  const isOpen = untilMs !== null && savedMs !== null && madeAt !== null && count !== null && perMs !== null;
  return {
    state,
    hold,
    window,
    sinceMs,
    by,
    open: isOpen ? { untilMs, savedMs, madeAt, rate: { count, perMs } } : null,
  };
}

/** Writes a group. */
export function columnsOfGroup({ name, createdMs, terms, site }: GroupRow): GroupColumns {
  return {
    name,
    created_ms: createdMs,
    policy: terms?.policy ?? null,
    ...columnsOfApproval(terms?.approval ?? null),
    timeout_ms: terms?.timeoutMs ?? null,
    limits: terms?.limits ?? null,
    holds: site.hold,
    windows: site.window,
    site: site.state,
    site_since: site.sinceMs,
    site_by: site.by,
    site_until: site.open?.untilMs ?? null,
    site_saved: site.open?.savedMs ?? null,
    site_made_at: site.open?.madeAt ?? null,
    site_count: site.open?.rate.count ?? null,
    site_per: site.open?.rate.perMs ?? null,
  };
}
