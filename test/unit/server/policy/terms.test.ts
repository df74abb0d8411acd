import assert from "node:assert/strict";
import { test } from "node:test";
import {
  areSameTerms,
  DEFAULT_GROUP,
  loosening,
  resolveTerms,
  type Terms,
} from "../../../../src/server/policy/terms.ts";

const ALWAYS: Terms = { policy: "always", approval: null, timeoutMs: null, limits: null };
const LEASE: Terms = { ...ALWAYS, policy: "lease" };
const ALIVE: Terms = { ...ALWAYS, policy: "alive", timeoutMs: 300_000 };
const APPROVAL: Terms = { ...ALWAYS, policy: "approval", approval: { of: 2, timeoutMs: 3_600_000 } };

test("what was said of a machine comes before its group's, and that before what new machines get", () => {
  const said = (machine: Terms | null, group: Terms | null) => resolveTerms({ machine, group, byDefault: ALWAYS });
  assert.deepEqual(said(LEASE, ALIVE), { terms: LEASE, source: "machine" });
  assert.deepEqual(said(LEASE, null), { terms: LEASE, source: "machine" });
  assert.deepEqual(said(null, ALIVE), { terms: ALIVE, source: "group" });
  const byDefault = said(null, null);
  assert.deepEqual(byDefault, { terms: ALWAYS, source: "default" });
  assert.equal(DEFAULT_GROUP, byDefault.source, "the group of that name is what says them");
});

test("terms are the same in all parts, or others", () => {
  const others: Terms[] = [
    { ...APPROVAL, policy: "lease" },
    { ...APPROVAL, approval: { of: 1, timeoutMs: 3_600_000 } },
    { ...APPROVAL, approval: { of: 2, timeoutMs: 1 } },
    { ...APPROVAL, approval: null },
    { ...APPROVAL, timeoutMs: 1 },
    { ...APPROVAL, limits: "per-day 4" },
  ];
  assert.ok(areSameTerms(APPROVAL, { ...APPROVAL, approval: { of: 2, timeoutMs: 3_600_000 } }));
  assert.ok(areSameTerms(LEASE, { ...LEASE }));
  for (const other of others)
    assert.ok(!areSameTerms(APPROVAL, other) && !areSameTerms(other, APPROVAL), JSON.stringify(other));
});

test("what would release more than before is told, and why", () => {
  const bounded = { ...LEASE, limits: "per-day 4" };
  assert.equal(loosening(LEASE, bounded), null);
  assert.equal(loosening(bounded, LEASE), "limits");
  assert.equal(loosening(APPROVAL, { ...APPROVAL, approval: { of: 1, timeoutMs: 3_600_000 } }), "operators");
  assert.equal(loosening(APPROVAL, LEASE), "operators");
  assert.equal(loosening(LEASE, APPROVAL), null);
  assert.equal(loosening(LEASE, ALIVE), "policy");
  assert.equal(loosening(ALIVE, { ...ALIVE, timeoutMs: 300_001 }), "policy");
  assert.equal(loosening(ALIVE, { ...ALIVE, timeoutMs: 299_999 }), null);
  assert.equal(loosening(LEASE, ALWAYS), "policy");
});
