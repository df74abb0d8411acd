import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FollowingList, FollowingMap, Memory } from "../../../src/server/memory.ts";

const change = fc.record({ key: fc.nat(8), value: fc.option(fc.nat(100), { nil: null }) });
const history = fc.array(fc.record({ changes: fc.array(change, { maxLength: 12 }), isKept: fc.boolean() }), {
  maxLength: 12,
});

/** What a map holds after transactions of which some fail, beside one that never saw those. */
function compare(of: (memory: Memory) => Map<number, number>, look: (map: Map<number, number>) => unknown): void {
  fc.assert(
    fc.property(history, (transactions) => {
      const memory = new Memory();
      const map = of(memory);
      let wanted = new Map<number, number>();
      for (const { changes, isKept } of transactions) {
        const next = new Map(wanted);
        memory.begin();
        for (const one of [map, next])
          for (const { key, value } of changes) {
            if (value === null) one.delete(key);
            else one.set(key, value);
          }
        assert.deepEqual(look(map), look(next));
        if (isKept) memory.keep();
        else memory.undo();
        if (isKept) wanted = next;
        assert.deepEqual(look(map), look(wanted));
      }
    }),
    { numRuns: 500 },
  );
}

test("a map holds what was kept, whatever was undone", () => {
  compare(
    (memory) => new FollowingMap(memory),
    (map) => new Map([...map].toSorted(([one], [other]) => one - other)),
  );
});

test("a list has it in the order in which it came, too", () => {
  compare(
    (memory) => new FollowingList(memory),
    (map) => [...map],
  );
});

test("a map alone does not keep the order: the check can fail", () => {
  assert.throws(() =>
    compare(
      (memory) => new FollowingMap(memory),
      (map) => [...map],
    ),
  );
});

test("outside of a transaction a change holds at once", () => {
  const memory = new Memory();
  const list = new FollowingList<number, number>(memory).set(1, 1).set(2, 2);
  list.delete(1);
  memory.begin();
  memory.undo();
  assert.deepEqual([...list], [[2, 2]]);
});
