/** What is counted is found in the text of entries as in the entries themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countedIn } from "../../../../src/server/audit/counted.ts";
import { type Entry, encodeEntry } from "../../../../src/server/audit/entry.ts";

const at = fc.nat(4_000_000_000_000);
const latch = fc.constantFrom("A-_bcdefghijklmnopqrst", "0123456789abcdefghijkl", "zzzzzzzzzzzzzzzzzzzzzz");
/** What a peer may say, with all that could look like an entry. */
const said = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '","day":3,"kind":"release","latch":"A-_bcdefghijklmnopqrst","since":1}',
    '{"at":1,"day":2,',
    "\\",
    '"',
  ),
);
const release = fc.record(
  {
    kind: fc.constant("release" as const),
    at,
    machine: said,
    latch,
    epoch: fc.nat(9),
    from: said,
    lease: fc.nat(9),
    window: fc.nat(9),
    day: fc.integer({ min: 1, max: 100 }),
    since: at,
  },
  { requiredKeys: ["kind", "at", "machine", "latch", "epoch", "from"] },
);
const other = fc.record({
  kind: fc.constantFrom("enrol" as const, "latch" as const),
  at,
  machine: said,
  name: said,
  latch,
  volume: said,
  kid: said,
  from: said,
});

test("the last count of each latch is found, and nothing that only looks like one", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(release, other)), (entries) => {
      const wanted = new Map<string, object>();
      for (const entry of entries) {
        if (entry.kind !== "release" || entry.day === undefined || entry.since === undefined) continue;
        wanted.set(entry.latch, { sinceMs: entry.since, count: entry.day });
      }
      const texts = entries.map((entry, number) => [number, encodeEntry(entry as Entry).toString()] as const);
      assert.deepEqual(countedIn(texts), wanted);
    }),
    { numRuns: 1000 },
  );
});
