// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { auditLine } from "../../../../../src/cli/commands/audit/line.ts";
import type { JsonObject } from "../../../../../src/formats/json/json.ts";

const AT = { at: "2026-11-28T18:12:40.123Z", name: "nas", volume: "vol-1" };
const UNTIL = "2026-11-28T18:22:40.000Z";

const lines: readonly (readonly [entry: JsonObject, line: string])[] = [
  [{ kind: "release", from: "192.0.2.7" }, "released to 192.0.2.7, volume vol-1"],
  [
    { kind: "flood", from: "192.0.2.7", until: UNTIL },
    "released to 192.0.2.7, volume vol-1, and however often it asks until 2026-11-28 18:22:40Z",
  ],
  [
    { kind: "flood-end", count: 7, since: UNTIL },
    "was released to many addresses 7 times, volume vol-1, since 2026-11-28 18:22:40Z",
  ],
  [
    { kind: "refusal", from: "192.0.2.7", reason: "latch/revoked" },
    "refused to 192.0.2.7, volume vol-1: its keys are destroyed [latch/revoked]",
  ],
  [{ kind: "refusal", from: "192.0.2.7", reason: "x/later" }, "refused to 192.0.2.7, volume vol-1: [x/later]"],
  [{ kind: "machine-revoke", by: 1000, volume: null }, "revoked by user 1000"],
  [{ kind: "latch-lock", by: 0, latch: "abc" }, "latch abc locked by user 0, volume vol-1"],
  [{ kind: "lease-end" }, "the lease is over"],
  [{ kind: "lease-end", from: "192.0.2.7" }, "took its lease back, from 192.0.2.7"],
  [{ kind: "lease-end", why: "booted" }, "is up again, so its lease is over"],
  [{ kind: "machine-policy", policy: "lease", limits: "per-day 4", by: 0 }, "policy lease per-day 4, by user 0"],
  [
    { kind: "group-policy", group: "home", policy: "alive", timeout: 300_000, by: 0 },
    "policy of the group home: alive for 5m, by user 0",
  ],
  [{ kind: "group-policy", group: "home", by: 0 }, "policy of the group home: none of its own, by user 0"],
  [{ kind: "group-policy", group: "default", policy: "lease", by: 0 }, "policy of new machines: lease, by user 0"],
  [
    { kind: "site-hold", group: "home", hold: 1, restart: 1 },
    "the site home is held: its window was over before the server listened again",
  ],
  [{ kind: "site-end", group: "home", hold: 1 }, "the site home is as ever"],
  [{ kind: "x-later", volume: null }, "x-later: of a later version than this command"],
];

for (const [entry, line] of lines) {
  test(`${entry["kind"]}: ${line}`, () => {
    assert.equal(auditLine({ ...AT, ...entry }), `2026-11-28 18:12:40Z  nas           ${line}`);
  });
}

test("whatever a store that was tampered with holds, it is one line that a terminal shows harmlessly", () => {
  const hostile = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("\u001b[2J", "a\nb", "\u202e"), fc.double());
  const kind = fc.oneof(
    fc.constantFrom("release", "flood", "refusal", "enrol", "invite", "latch-lock", "__proto__-x"),
    hostile,
  );
  const member = fc.constantFrom(
    "at",
    "name",
    "volume",
    "from",
    "reason",
    "by",
    "count",
    "since",
    "until",
    "latch",
    "known",
  );
  fc.assert(
    fc.property(kind, fc.dictionary(member, hostile), (of, members) => {
      const line = auditLine({ kind: of, ...members } as JsonObject);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
    }),
  );
});
