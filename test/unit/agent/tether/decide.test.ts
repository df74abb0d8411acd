import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decideTether, type KnownOfServers, listeningSince, settleTime } from "../../../../src/agent/tether/decide.ts";
import type { HeardServer } from "../../../../src/formats/own/tether.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Ten minutes of silence; a sender that was held up has a minute and a half. */
const RULE = { afterMs: 10 * MINUTE_MS, settleMs: 90_000 };
const NOW = 5 * HOUR_MS;

const server = (
  name: string,
  heardAgoMs: number,
  lockedAgoMs: number | null = null,
  leaseLeftMs: number | null = null,
): HeardServer => ({
  url: `http://${name}:7654`,
  heardMs: NOW - heardAgoMs,
  lockedMs: lockedAgoMs === null ? null : NOW - lockedAgoMs,
  leaseMs: leaseLeftMs === null ? null : NOW + leaseLeftMs,
});

type Change = Partial<KnownOfServers> & { readonly afterMs?: number | null };

/** What a machine of five hours makes of it. */
function judged({ afterMs = RULE.afterMs, ...change }: Change): string {
  const facts: KnownOfServers = {
    nowMs: NOW,
    servers: [],
    listeningSinceMs: 0,
    pausedUntilMs: null,
    trip: null,
    ...change,
  };
  return decideTether({ ...RULE, afterMs }, facts).kind;
}

const FRESH = 30_000;
const SILENT = RULE.afterMs;

const table: readonly (readonly [situation: string, change: Change, verdict: string])[] = [
  ["no server was heard since the start", {}, "holds"],
  ["a server was heard just now", { servers: [server("one", FRESH)] }, "holds"],
  ["silent for long, with a lease", { servers: [server("one", SILENT, null, 1)] }, "holds"],
  ["silent for long, and the lease ends now", { servers: [server("one", SILENT, null, 0)] }, "gone"],
  ["silent for long, and the lease is over", { servers: [server("one", SILENT, null, -1)] }, "gone"],
  ["a lease, and a lock", { servers: [server("one", FRESH, FRESH, HOUR_MS)] }, "locked"],
  [
    "both silent for long, with a lease at one",
    { servers: [server("one", SILENT), server("two", SILENT, null, 1)] },
    "holds",
  ],
  [
    "a lease that was told of before the tether acted, and another server since",
    { servers: [server("one", 2 * SILENT, null, 1), server("two", SILENT)], trip: { atMs: NOW - 1.5 * SILENT } },
    "gone",
  ],
  ["silent for a moment less than it may be", { servers: [server("one", SILENT - 1)] }, "holds"],
  ["silent for as long", { servers: [server("one", SILENT)] }, "gone"],
  ["silent for hours, and silence means nothing", { servers: [server("one", HOUR_MS)], afterMs: null }, "holds"],
  ["one of two is silent", { servers: [server("one", HOUR_MS), server("two", FRESH)] }, "holds"],
  ["both are silent", { servers: [server("one", HOUR_MS), server("two", SILENT)] }, "gone"],
  ["locked just now", { servers: [server("one", 0, 0)] }, "locked"],
  ["locked by one of two", { servers: [server("one", FRESH), server("two", FRESH, FRESH)] }, "locked"],
  ["locked, and silence means nothing", { servers: [server("one", 0, 0)], afterMs: null }, "locked"],
  ["locked, and silent since", { servers: [server("one", HOUR_MS, HOUR_MS)] }, "locked"],
  ["locked while silence is expected", { servers: [server("one", 0, 0)], pausedUntilMs: NOW + 1 }, "locked"],
  ["locked just after it was held up", { servers: [server("one", 0, 0)], listeningSinceMs: NOW }, "locked"],
  ["silent while that is expected", { servers: [server("one", HOUR_MS)], pausedUntilMs: NOW + 1 }, "holds"],
  ["silent, and it is expected no longer", { servers: [server("one", HOUR_MS)], pausedUntilMs: NOW }, "gone"],
  ["slept for an hour, and woke just now", { servers: [server("one", HOUR_MS)], listeningSinceMs: NOW }, "holds"],
  [
    "slept for an hour, and is still silent once its sender had time",
    { servers: [server("one", HOUR_MS)], listeningSinceMs: NOW - RULE.settleMs },
    "gone",
  ],
  ["tripped by this very lock", { servers: [server("one", 0, HOUR_MS)], trip: { atMs: NOW - HOUR_MS } }, "holds"],
  ["tripped, and locked anew", { servers: [server("one", 0, FRESH)], trip: { atMs: NOW - HOUR_MS } }, "locked"],
  [
    "tripped by a lock, and another server has locked since",
    { servers: [server("one", 0, HOUR_MS), server("two", 0, FRESH)], trip: { atMs: NOW - HOUR_MS } },
    "locked",
  ],
  [
    "tripped, and nobody was heard since",
    { servers: [server("one", 3 * HOUR_MS)], trip: { atMs: NOW - HOUR_MS } },
    "holds",
  ],
  [
    "tripped, heard since, and silent again",
    { servers: [server("one", SILENT)], trip: { atMs: NOW - HOUR_MS } },
    "gone",
  ],
  ["said to have been heard in the future", { servers: [server("one", -1)] }, "holds"],
  [
    "silent, and another server is said to have been heard in the future",
    { servers: [server("one", HOUR_MS), server("two", -HOUR_MS)] },
    "gone",
  ],
];

for (const [situation, change, verdict] of table) {
  test(`${situation}: ${verdict}`, () => assert.equal(judged(change), verdict));
}

test("whatever the clock of the wall says has no part in it, and silence alone never trips it before its time", () => {
  const ago = fc.integer({ min: 0, max: SILENT - 1 });
  fc.assert(
    fc.property(fc.array(ago, { minLength: 1, maxLength: 4 }), ago, (agos, sinceMs) => {
      const servers = agos.map((agoMs, index) => server(`s${index}`, agoMs));
      assert.equal(judged({ servers, listeningSinceMs: NOW - sinceMs }), "holds");
    }),
  );
});

test("the one who trips it is named, and how long it was silent", () => {
  const facts = { nowMs: NOW, listeningSinceMs: 0, pausedUntilMs: null, trip: null };
  const servers = [server("one", FRESH), server("two", FRESH, FRESH)];
  assert.deepEqual(decideTether(RULE, { ...facts, servers }), { kind: "locked", url: "http://two:7654" });
  assert.deepEqual(decideTether(RULE, { ...facts, servers: [server("one", HOUR_MS)] }), {
    kind: "gone",
    silentMs: HOUR_MS,
  });
});

test("who looks ten seconds too late was held up", () => {
  assert.equal(listeningSince(7, 1000, 11_000), 7);
  assert.equal(listeningSince(7, 1000, 11_001), 11_001);
});

test("a sender that was held up has a pause and half a minute, but never longer than silence may last", () => {
  assert.equal(settleTime(60_000, 600_000), 90_000);
  assert.equal(settleTime(60_000, 80_000), 80_000);
  assert.equal(settleTime(60_000, null), 90_000);
});
