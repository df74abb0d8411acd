/**
 * Who waits for whom among strangers: queues, places and memory, each against a model or in its
 * extremes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Admission } from "../../../../src/server/http/admission.ts";
import { Budget } from "../../../../src/server/http/budget.ts";
import { FairQueue } from "../../../../src/server/http/fair-queue.ts";
import { type Place, Places } from "../../../../src/server/http/places.ts";
import { type Network, networkOf } from "../../../../src/server/network.ts";

const HOSTS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8::1", "2001:db8:0:1::1"];
const host = fc.constantFrom(...HOSTS);

test("networks take turns, whoever asks more: a newcomer waits for no more of another network than of its own", () => {
  fc.assert(
    fc.property(fc.array(host, { maxLength: 60 }), host, (floods, late) => {
      const queue = new FairQueue<string>();
      for (const address of floods) queue.push(networkOf(address), address);
      const own = floods.filter((address) => networkOf(address).group === networkOf(late).group);
      queue.push(networkOf(late), "late");
      const before: string[] = [];
      for (let next = queue.shift(); next !== "late"; next = queue.shift()) before.push(String(next));
      const groups = before.map((address) => networkOf(address).group);
      const ownTurns = new Set([...own, late]).size * (own.filter((address) => address === late).length + 1);
      for (const group of new Set(groups)) {
        assert.ok(groups.filter((one) => one === group).length <= ownTurns, `${before}`);
      }
    }),
  );
});

test("nothing is lost or told twice, and each line keeps its order", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(host, fc.constantFrom("push", "push", "shift", "drop"))), (steps) => {
      const queue = new FairQueue<readonly [string, number]>();
      const model = new Map<string, number[]>(HOSTS.map((address) => [address, []]));
      const take = ([address, number]: readonly [string, number]) => assert.equal(model.get(address)?.shift(), number);
      for (const [index, [address, step]] of steps.entries()) {
        const lengths = () => [...model.values()].map(({ length }) => length);
        if (step === "push") {
          queue.push(networkOf(address), [address, index]);
          model.get(address)?.push(index);
        } else {
          const item = step === "shift" ? queue.shift() : queue.dropFromLongest();
          if (item === undefined) assert.equal(Math.max(...lengths()), 0);
          else take(item);
        }
        assert.equal(
          queue.length,
          lengths().reduce((sum, length) => sum + length, 0),
        );
      }
    }),
  );
});

test("the longest line of the network that asks most loses first", () => {
  const queue = new FairQueue<string>();
  for (let count = 0; count < 5; count++) queue.push(networkOf("10.0.0.1"), "greedy");
  for (let count = 0; count < 2; count++) queue.push(networkOf("10.0.0.2"), "neighbour");
  for (let count = 0; count < 4; count++) queue.push(networkOf("10.0.1.1"), "other");
  const dropped = Array.from({ length: 3 }, () => queue.dropFromLongest());
  assert.deepEqual(dropped, ["greedy", "greedy", "greedy"]);
});

test("operations under way and waiting are bounded, and the flood is what is refused", () => {
  const admission = new Admission({ operations: 2, waiting: 4 });
  const events: string[] = [];
  const enter = (name: string, address: string) =>
    admission.enter({
      network: networkOf(address),
      start: () => events.push(`start ${name}`),
      refuse: () => events.push(`refuse ${name}`),
    });
  for (let index = 0; index < 6; index++) enter(`flood-${index}`, "10.0.0.1");
  assert.deepEqual(events.splice(0), ["start flood-0", "start flood-1"]);
  enter("good", "10.0.1.1");
  assert.deepEqual(events.splice(0), ["refuse flood-2"]);
  for (let index = 0; index < 3; index++) admission.leave();
  assert.deepEqual(events.splice(0), ["start flood-3", "start good", "start flood-4"]);
});

test("as long as an operator waits, few begin; afterwards as many as before", () => {
  const admission = new Admission({ operations: 100, waiting: 1000 });
  let started = 0;
  const enter = () =>
    admission.enter({ network: networkOf("10.0.0.1"), start: () => started++, refuse: () => assert.fail("refused") });
  for (let count = 0; count < 150; count++) enter();
  assert.equal(started, 100);
  {
    using _way = admission.giveWay();
    for (let count = 0; count < 92; count++) admission.leave();
    assert.equal(started, 100, "none begins while more than a few are under way");
    admission.leave();
    assert.equal(started, 101);
  }
  assert.equal(started, 150);
});

test("operations that are done as soon as they start let the others in one after the other, however many wait", () => {
  const admission = new Admission({ operations: 1, waiting: 100_000 });
  const network = networkOf("10.0.0.1");
  const refuse = () => assert.fail("refused");
  let [done, depth, deepest] = [0, 0, 0];
  admission.enter({ network, start: () => {}, refuse });
  const start = () => {
    deepest = Math.max(deepest, ++depth);
    done++;
    admission.leave();
    depth--;
  };
  for (let count = 0; count < 20_000; count++) admission.enter({ network, start, refuse });
  assert.equal(done, 0);
  admission.leave();
  assert.deepEqual([done, deepest], [20_000, 1]);
  admission.enter({ network, start, refuse });
  assert.equal(done, 20_001);
});

const LIMITS = { connections: 12, connectionsOfOneGroup: 8, connectionsOfOneLine: 5 };

interface Seated {
  readonly network: Network;
  readonly number: number;
  phase: "unfinished" | "busy" | "resting";
  place: Place<Seated> | null;
}

test("whoever comes is let in unless everybody is being answered, and nobody who is being answered gives way", () => {
  const step = fc.tuple(host, fc.constantFrom("come", "come", "begin", "rest", "go"), fc.nat(30));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const places = new Places<Seated>(LIMITS);
      const seated: Seated[] = [];
      const leave = (who: Seated) => {
        if (who.place !== null) places.leave(who.place);
        seated.splice(seated.indexOf(who), 1);
      };
      const crowd = (network: Network) => {
        const line = seated.filter((who) => who.network.line === network.line);
        const group = seated.filter((who) => who.network.group === network.group);
        if (line.length >= LIMITS.connectionsOfOneLine) return line;
        if (group.length >= LIMITS.connectionsOfOneGroup) return group;
        return seated.length >= LIMITS.connections ? seated : null;
      };
      for (const [number, [address, kind, pick]] of steps.entries()) {
        const who = seated[pick % Math.max(1, seated.length)];
        if (kind === "come") {
          const network = networkOf(address);
          const full = crowd(network);
          const victim = places.makeRoom(network);
          if (full === null) assert.equal(victim, null);
          else if (full.every(({ phase }) => phase === "busy")) assert.equal(victim, "full");
          else {
            assert.ok(victim !== null && victim !== "full");
            assert.ok(full.includes(victim));
            assert.notEqual(victim.phase, "busy");
            const older = full.filter(
              (other) => other.network.line === victim.network.line && other.phase === victim.phase,
            );
            if (victim.phase === "unfinished") assert.equal(older[0], victim, "the oldest of its line");
            leave(victim);
          }
          if (victim === "full") continue;
          const next: Seated = { network, number, phase: "unfinished", place: null };
          next.place = places.enter(next, network);
          seated.push(next);
        } else if (who?.place && kind === "begin") {
          who.phase = "busy";
          places.begin(who.place);
        } else if (who?.place && kind === "rest" && who.phase === "busy") {
          who.phase = "resting";
          places.rest(who.place);
        } else if (who !== undefined && kind === "go") leave(who);
        assert.equal(places.count, seated.length);
      }
    }),
  );
});

test("one who never asked gives way before one who was answered", () => {
  const places = new Places<string>({ connections: 4, connectionsOfOneGroup: 4, connectionsOfOneLine: 4 });
  const network = networkOf("10.0.0.1");
  const kept = places.enter("kept", network);
  places.begin(kept);
  places.rest(kept);
  for (const name of ["first", "second", "third"]) places.enter(name, network);
  assert.equal(places.makeRoom(network), "first");
});

test("those with most connections give way to a newcomer from elsewhere", () => {
  const places = new Places<string>({ connections: 8, connectionsOfOneGroup: 8, connectionsOfOneLine: 8 });
  places.enter("good", networkOf("10.0.1.1"));
  places.enter("neighbour", networkOf("10.0.0.2"));
  for (let index = 0; index < 6; index++) places.enter(`flood-${index}`, networkOf("10.0.0.1"));
  assert.equal(places.makeRoom(networkOf("10.0.2.1")), "flood-0");
});

test("memory of incomplete requests is bounded: who has been at it longest is cut, and never one that is complete", () => {
  const step = fc.tuple(fc.nat(9), fc.constantFrom("keep", "keep", "keep", "pin", "release"), fc.nat(40_000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const LIMIT = 100_000;
      const cut: object[] = [];
      const keepers = Array.from({ length: 10 }, () => ({ cut: () => {}, pinned: false, bytes: 0 }));
      for (const keeper of keepers) {
        keeper.cut = () => {
          assert.ok(!keeper.pinned);
          keeper.bytes = 0;
          cut.push(keeper);
        };
      }
      const budget = new Budget<(typeof keepers)[number]>(LIMIT);
      for (const [index, kind, bytes] of steps) {
        const keeper = keepers[index];
        if (keeper === undefined || (keeper.pinned && kind !== "release")) continue;
        if (kind === "keep") {
          keeper.bytes = bytes;
          budget.keep(keeper, bytes);
        } else if (kind === "pin") {
          keeper.pinned = budget.pin(keeper, bytes);
          keeper.bytes = keeper.pinned && bytes > 4096 ? bytes : 0;
        } else {
          budget.release(keeper);
          Object.assign(keeper, { pinned: false, bytes: 0 });
        }
        assert.equal(
          budget.totalBytes,
          keepers.reduce((sum, one) => sum + one.bytes, 0),
        );
        assert.ok(budget.totalBytes <= LIMIT);
      }
    }),
  );
});
