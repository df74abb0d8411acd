/**
 * What an approval promises, held against random histories by a watcher that keeps books of its
 * own. Faults that are planted in the decisions show that each promise can be seen to be broken.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decide } from "../../../../src/server/policy/decide.ts";
import type { Lease, LeaseUse } from "../../../../src/server/policy/lease.ts";
import { RESTED } from "../../../../src/server/policy/pace.ts";
import { type AskedRequest, type Crowd, judgeRequest, judgeVote } from "../../../../src/server/policy/request.ts";

const START_MS = 1_800_000_000_000;
const [TIMEOUT_MS, OPEN_MS, GRACE_MS, OF] = [1_800_000, 600_000, 60_000, 2];
const ADDRESSES = ["192.0.2.1", "192.0.2.2"] as const;
const NOBODY: Crowd = { ofMachine: 0, ofNetwork: 0, around: 0, all: 0 };

interface Decisions {
  readonly decide: typeof decide;
  readonly judgeVote: typeof judgeVote;
}

const from = fc.constantFrom(...ADDRESSES);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("ask" as const), latch: fc.nat(1), from }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("approve" as const), by: fc.nat(2), from }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deny" as const), from }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("void" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      seconds: fc.constantFrom(1, 30, 59, 60, 599, 600, 1800),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("set" as const), minutes: fc.constantFrom(-1e6, -60, -2, 60, 1e6) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What the server keeps of a request, with the latest time in the log since it was made. */
interface Kept extends AskedRequest {
  readonly id: string;
  latestMs: number;
}

/** What the watcher knows, by a clock of its own, which nobody sets. */
interface Book {
  readonly votes: Set<number>;
  readonly begun: number;
  isDenied: boolean;
  wasSet: boolean;
}

/** Plays a history; the first promise that is broken in it, or null. */
function play(decisions: Decisions, steps: readonly Step[]): string | null {
  let [trueMs, setMs, number] = [START_MS, 0, 0];
  let lease: (Lease & { latestMs: number }) | null = null;
  const requests = new Map<string, Kept>();
  const uses = new Map<number, LeaseUse>();
  const books = new Map<string, Book>();
  let window: { readonly from: string; readonly until: number; readonly first: Map<number, number> } | null = null;
  let wasSet = false;
  const log = (nowMs: number) => {
    for (const kept of [...requests.values(), ...(lease === null ? [] : [lease])])
      kept.latestMs = Math.max(kept.latestMs, nowMs);
  };
  for (const next of steps) {
    const nowMs = trueMs + setMs;
    switch (next.kind) {
      case "pass":
        trueMs += next.seconds * 1000;
        break;
      case "set":
        setMs += next.minutes * 60_000;
        wasSet = true;
        for (const book of books.values()) book.wasSet = true;
        break;
      case "void":
        requests.clear();
        books.clear();
        [lease, window] = [null, null];
        break;
      case "deny": {
        const request = requests.get(next.from);
        if (request !== undefined) requests.set(next.from, { ...request, state: "denied" });
        const book = books.get(next.from);
        if (book !== undefined) book.isDenied = true;
        log(nowMs);
        break;
      }
      case "approve": {
        const request = requests.get(next.from);
        const book = books.get(next.from);
        if (request === undefined || book === undefined) break;
        const time = { nowMs, latestMs: request.latestMs };
        const judged = decisions.judgeVote(request, { by: next.by, of: OF }, time);
        const isLate = !book.wasSet && trueMs >= book.begun + TIMEOUT_MS;
        if (!isLate) book.votes.add(next.by);
        if (judged === "counts") requests.set(next.from, { ...request, approvedBy: [...request.approvedBy, next.by] });
        if (judged === "opens") {
          if (book.isDenied) return "opened although denied";
          if (isLate) return "opened after the request had expired";
          if (book.votes.size < OF) return "opened by too few operators";
          number++;
          lease = { number, untilMs: nowMs + OPEN_MS, graceMs: GRACE_MS, to: next.from, latestMs: nowMs };
          window = { from: next.from, until: trueMs + OPEN_MS, first: new Map() };
          wasSet = false;
          requests.delete(next.from);
          books.delete(next.from);
        }
        log(nowMs);
        break;
      }
      case "ask": {
        const own = requests.get(next.from) ?? null;
        const decision = decisions.decide(
          { state: "active", policy: "approval", lease, queue: { own, crowd: NOBODY } },
          { state: "active", pace: RESTED, use: uses.get(next.latch) ?? null },
          { from: next.from, nowMs, latestMs: lease?.latestMs ?? nowMs },
        );
        if (!decision.release) {
          if (decision.begins !== true) break;
          const id = String(number++);
          requests.set(next.from, {
            id,
            state: "waiting",
            approvedBy: [],
            expiresMs: nowMs + TIMEOUT_MS,
            latestMs: nowMs,
          });
          books.set(next.from, { votes: new Set(), begun: trueMs, isDenied: false, wasSet: false });
          log(nowMs);
          break;
        }
        if (window === null || lease === null) return "released without an approval";
        if (window.from !== next.from) return "released to another address";
        if (!wasSet && trueMs >= window.until) return "released after the window";
        const first = window.first.get(next.latch);
        if (first !== undefined && !wasSet && trueMs >= first + GRACE_MS) return "released after the grace";
        if (first !== undefined && decision.use !== null) return "opened twice";
        if (decision.use !== null) {
          window.first.set(next.latch, trueMs);
          uses.set(next.latch, decision.use);
        }
        log(nowMs);
      }
    }
  }
  return null;
}

const histories = fc.array(step, { maxLength: 80, size: "max" });
const REAL: Decisions = { decide, judgeVote };

test("no history releases what operators have not approved", () => {
  fc.assert(
    fc.property(histories, (steps) => {
      assert.equal(play(REAL, steps), null);
    }),
    { numRuns: 2000 },
  );
});

test("a machine that waits is released when enough different operators approve in time", () => {
  fc.assert(
    fc.property(
      fc.nat(TIMEOUT_MS - 1),
      fc.nat(OPEN_MS - 1),
      fc.uniqueArray(fc.nat(9), { minLength: 1 }),
      (voteMs, askMs, voters) => {
        const of = voters.length;
        let request: AskedRequest = { state: "waiting", approvedBy: [], expiresMs: START_MS + TIMEOUT_MS };
        const time = { nowMs: START_MS + voteMs, latestMs: START_MS };
        for (const [index, by] of voters.entries()) {
          assert.equal(judgeVote(request, { by, of }, time), index === of - 1 ? "opens" : "counts");
          request = { ...request, approvedBy: [...request.approvedBy, by] };
          if (index < of - 1) assert.equal(judgeVote(request, { by, of }, time), "voted-already");
        }
        const [to] = ADDRESSES;
        const lease: Lease = { number: 1, untilMs: time.nowMs + OPEN_MS, graceMs: GRACE_MS, to };
        const nowMs = time.nowMs + askMs;
        const decision = decide(
          { state: "active", policy: "approval", lease, queue: { own: null, crowd: NOBODY } },
          { state: "active", pace: RESTED, use: null },
          { from: to, nowMs, latestMs: time.nowMs },
        );
        assert.ok(decision.release && decision.use?.lease === 1);
      },
    ),
  );
});

test("an operator who comes too late, or after a denial, is told so", () => {
  const waits: AskedRequest = { state: "waiting", approvedBy: [1], expiresMs: START_MS + TIMEOUT_MS };
  const vote = { by: 2, of: 2 };
  const at = (nowMs: number) => ({ nowMs, latestMs: START_MS });
  const [last, late] = [at(START_MS + TIMEOUT_MS - 1), at(START_MS + TIMEOUT_MS)];
  assert.equal(judgeVote(waits, vote, last), "opens");
  assert.equal(judgeVote(waits, vote, late), "expired");
  assert.equal(judgeVote({ ...waits, state: "denied" }, vote, last), "denied");
  assert.equal(judgeVote({ ...waits, state: "denied" }, vote, late), "expired");
});

test("a window for any address is none where operators approve of one", () => {
  const lease: Lease = { number: 1, untilMs: START_MS + OPEN_MS, graceMs: GRACE_MS, to: null };
  const [ours] = ADDRESSES;
  const decision = decide(
    { state: "active", policy: "approval", lease, queue: { own: null, crowd: NOBODY } },
    { state: "active", pace: RESTED, use: null },
    { from: ours, nowMs: START_MS, latestMs: START_MS },
  );
  assert.deepEqual(decision, { release: false, reason: "policy/waits", begins: true });
});

test("a queue that is full takes no more, and those who wait in it go on waiting", () => {
  const own = { state: "waiting", approvedBy: [], expiresMs: START_MS + 1, latestMs: START_MS } as const;
  for (const [part, room] of Object.entries({ ofMachine: 16, ofNetwork: 2, around: 1024, all: 4096 })) {
    assert.equal(judgeRequest(null, { ...NOBODY, [part]: room - 1 }, START_MS), "begins", part);
    assert.equal(judgeRequest(null, { ...NOBODY, [part]: room }, START_MS), "policy/crowded", part);
    assert.equal(judgeRequest(own, { ...NOBODY, [part]: room }, START_MS), "policy/waits", part);
  }
  assert.equal(judgeRequest({ ...own, state: "denied" }, NOBODY, START_MS), "policy/denied");
  assert.equal(judgeRequest({ ...own, state: "denied" }, NOBODY, START_MS + 1), "begins");
});

let strangers = 1000;
const FAULTS: Readonly<Record<string, readonly [caught: string, decisions: Decisions]>> = {
  "an operator counts as often as he says so": [
    "opened by too few operators",
    { decide, judgeVote: (request, { of }, time) => judgeVote(request, { by: strangers++, of }, time) },
  ],
  "one operator fewer is enough": [
    "opened by too few operators",
    { decide, judgeVote: (request, { by, of }, time) => judgeVote(request, { by, of: of - 1 }, time) },
  ],
  "a request does not expire": [
    "opened after the request had expired",
    {
      decide,
      judgeVote: (request, vote, time) => judgeVote({ ...request, expiresMs: Number.POSITIVE_INFINITY }, vote, time),
    },
  ],
  "a denial is not heard": [
    "opened although denied",
    { decide, judgeVote: (request, vote, time) => judgeVote({ ...request, state: "waiting" }, vote, time) },
  ],
  "the address is not looked at": [
    "released to another address",
    {
      judgeVote,
      decide: ({ lease, ...machine }, latch, asking) =>
        decide({ ...machine, lease: lease && { ...lease, to: asking.from } }, latch, asking),
    },
  ],
  "who asks is released": [
    "released without an approval",
    { judgeVote, decide: (machine, latch, asking) => decide({ ...machine, policy: "always" }, latch, asking) },
  ],
  "the window has no end": [
    "released after the window",
    {
      judgeVote,
      decide: ({ lease, ...machine }, latch, asking) =>
        decide({ ...machine, lease: lease && { ...lease, untilMs: Number.POSITIVE_INFINITY } }, latch, asking),
    },
  ],
  "the grace has no end": [
    "released after the grace",
    {
      judgeVote,
      decide: ({ lease, ...machine }, latch, asking) =>
        decide({ ...machine, lease: lease && { ...lease, graceMs: Number.POSITIVE_INFINITY } }, latch, asking),
    },
  ],
};

for (const [fault, [caught, decisions]] of Object.entries(FAULTS)) {
  test(`a planted fault is caught: ${fault}`, () => {
    const samples = fc.sample(histories, { numRuns: 2000, seed: 1 });
    assert.ok(samples.some((steps) => play(decisions, steps) === caught));
  });
}
