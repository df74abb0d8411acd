import assert from "node:assert/strict";
import { test } from "node:test";
import { Replay } from "../../../../src/server/audit/replay/replay.ts";

const DEFAULT = { id: "default", policy: "always", site: "free hold 0 window 0" };
const NOBODY = { machines: [], latches: [], invites: [], requests: [], witnesses: [], witnessedLogs: [] };

/** The log of a machine that has enrolled, with these entries behind. */
function replayed(...entries: readonly Readonly<Record<string, string | number>>[]): Replay {
  const replay = new Replay();
  const enrol = { kind: "enrol", machine: "m", name: "nas", latch: "l", volume: "v", kid: "k" };
  for (const entry of [enrol, ...entries]) replay.apply({ at: 1, ...entry } as never);
  return replay;
}

/** What is told of a machine in the store that is as these say. */
function machineOf(replay: Replay, policy: string, source: string, group = "", lease = "0") {
  const machine = { id: "m", name: "nas", state: "active" as const, epoch: 1, policy, source, group, lease };
  const told = replay.differences({ ...NOBODY, machines: [machine], groups: [DEFAULT] }, 99);
  return told.filter((line) => line.includes("machine m") && !line.includes("missing"));
}

test("a policy of before there were groups was said of its machine; always without limits, of nobody", () => {
  const said = { kind: "machine-policy", machine: "m", name: "nas", by: 0 };
  assert.deepEqual(machineOf(replayed(), "always", "default"), []);
  assert.deepEqual(machineOf(replayed({ ...said, policy: "lease" }), "lease", "machine"), []);
  assert.deepEqual(
    machineOf(replayed({ ...said, policy: "lease" }, { ...said, policy: "always" }), "always", "default"),
    [],
  );
  const limited = { ...said, policy: "always", limits: "per-day 4" };
  assert.deepEqual(machineOf(replayed(limited), "always per-day 4", "machine"), []);
  assert.deepEqual(machineOf(replayed({ ...said, policy: "always", source: "machine" }), "always", "machine"), []);
  assert.equal(machineOf(replayed({ ...said, policy: "lease" }), "lease", "default").length, 1, "another is told");
});

test("a policy that stays as it is leaves a lease as it is, whoever it is said of", () => {
  const [add, join] = [
    { kind: "group-add", group: "home", by: 0 },
    { kind: "group-join", machine: "m", name: "nas", group: "home", by: 0 },
  ];
  const lease = { kind: "lease", machine: "m", lease: 1, until: 900, grace: 0, by: 0 };
  const under = { kind: "group-policy", group: "default", policy: "lease", by: 0 };
  const whole = new Replay();
  const enrol = { kind: "enrol", machine: "m", name: "nas", latch: "l", volume: "v", kid: "k" };
  for (const entry of [under, enrol, add, lease, join]) whole.apply({ at: 1, ...entry } as never);
  assert.deepEqual(machineOf(whole, "lease", "default", "home", "1 until 900 grace 0 by 0"), []);
  whole.apply({ at: 2, kind: "group-policy", group: "home", policy: "lease", by: 0 } as never);
  assert.deepEqual(machineOf(whole, "lease", "group", "home", "1 until 900 grace 0 by 0"), []);
  whole.apply({ at: 3, kind: "group-policy", group: "home", policy: "always", by: 0 } as never);
  assert.deepEqual(machineOf(whole, "always", "group", "home", "1"), []);
  whole.apply({ at: 4, kind: "group-leave", machine: "m", name: "nas", group: "home", by: 0 } as never);
  assert.deepEqual(machineOf(whole, "lease", "default", "", "1"), []);
});

test("a window of a site is a hold again once an older copy of the store is in use", () => {
  const site = (replay: Replay, text: string) => {
    const home = { id: "home", policy: "", site: text };
    return replay.differences({ ...NOBODY, groups: [DEFAULT, home] }, 99).filter((line) => line.includes("home"));
  };
  const replay = replayed(
    { kind: "group-add", group: "home", by: 0 },
    { kind: "site-hold", group: "home", hold: 1, silent: 2, of: 2 },
    { kind: "site-release", group: "home", hold: 1, window: 1, count: 60, per: 60_000, until: 900, by: 0 },
  );
  assert.deepEqual(site(replay, "open hold 1 window 1 until 900 60 per 60000"), []);
  replay.apply({ at: 5, kind: "rollback", size: 1, root: "" } as never);
  assert.deepEqual(site(replay, "held hold 1 window 1"), []);
  replay.apply({ at: 6, kind: "site-end", group: "home", hold: 1 } as never);
  assert.deepEqual(site(replay, "free hold 1 window 1"), []);
  assert.equal(site(replay, "held hold 1 window 1").length, 1);
});
