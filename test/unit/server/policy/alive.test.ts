/**
 * What `alive` promises. Mandos's behaviours are a table of histories that are played to the end;
 * random histories are held against a watcher with books of its own, and faults that are planted
 * show that each promise can be seen to be broken.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import * as alive from "../../../../src/server/policy/alive.ts";
import { loosens } from "../../../../src/server/policy/loosening.ts";

const { begun, forgiven, isAlive, isOverdue, resumed, stored } = alive;

const MINUTE_MS = 60_000;
const TIMEOUT_MS = 5 * MINUTE_MS;
const BOOT_MS = 15 * MINUTE_MS;
const WALL_MS = 1_800_000_000_000;

type Rules = Pick<typeof alive, "heard" | "shortens" | "released" | "isAlive" | "isOverdue" | "forgiven" | "resumed">;

/** A server that plays a history for one machine: what the service does, without a store. */
class Played {
  readonly rules: Rules;
  /** What is true, by a clock that nobody sets; monotonic clocks begin anew with each run. */
  trueMs = 0;
  wallAheadMs = WALL_MS;
  runBeganMs = 0;
  logMs = WALL_MS;
  pulse: alive.Pulse;
  isLocked = false;
  kept: alive.StoredPulse;

  constructor(rules: Rules = alive) {
    this.rules = rules;
    this.pulse = begun(TIMEOUT_MS, this.monotonicMs);
    this.kept = this.#store();
  }

  get monotonicMs(): number {
    return this.trueMs - this.runBeganMs;
  }

  get nowMs(): number {
    return this.trueMs + this.wallAheadMs;
  }

  #store(): alive.StoredPulse {
    return stored(this.pulse, { nowMs: this.nowMs, monotonicMs: this.monotonicMs });
  }

  /** Time passes, and the server looks every second for whoever is gone. */
  pass(ms: number): void {
    const endMs = this.trueMs + ms;
    while (this.trueMs < endMs) {
      this.trueMs = Math.min(endMs, this.trueMs + 1000);
      if (!this.rules.isOverdue(this.pulse, this.monotonicMs)) continue;
      this.isLocked = true;
      this.trueMs = endMs;
    }
  }

  beat(): void {
    if (this.isLocked) return;
    const before = this.pulse;
    this.pulse = this.rules.heard(before, this.monotonicMs) ?? before;
    if (this.rules.shortens(before, this.pulse)) this.save();
  }

  /** Written now and then, and at a clean stop. */
  save(): void {
    this.kept = this.#store();
  }

  ask(): boolean {
    if (this.isLocked || !this.rules.isAlive(this.pulse, this.monotonicMs)) return false;
    this.pulse = this.rules.released(this.pulse, this.monotonicMs) ?? this.pulse;
    this.kept = this.#store();
    this.logMs = Math.max(this.logMs, this.nowMs);
    return true;
  }

  unlock(): void {
    this.isLocked = false;
    this.pulse = begun(TIMEOUT_MS, this.monotonicMs);
    this.kept = this.#store();
    this.logMs = Math.max(this.logMs, this.nowMs);
  }

  /** The server is away for so long. What was not saved is lost. */
  restart(awayMs: number): void {
    this.trueMs += awayMs;
    this.runBeganMs = this.trueMs;
    this.pulse = this.rules.resumed(this.kept, { nowMs: this.nowMs, latestMs: this.logMs, monotonicMs: 0 });
  }

  /** The server was suspended for so long, and found that out. */
  heldUp(ms: number): void {
    this.trueMs += ms;
    this.pulse = this.rules.forgiven(this.pulse, this.monotonicMs);
  }
}

/** A machine that was heard just now. */
function running(): Played {
  const played = new Played();
  played.beat();
  played.save();
  return played;
}

const HISTORIES: Readonly<Record<string, (machine: Played) => void>> = {
  "timeout: released until it, and not at it": (machine) => {
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(isAlive(machine.pulse, machine.monotonicMs));
    machine.pass(1);
    assert.ok(machine.isLocked);
    assert.equal(machine.ask(), false);
  },
  "interval: heartbeats within the timeout keep it alive for ever": (machine) => {
    for (let count = 0; count < 1000; count++) {
      machine.pass(TIMEOUT_MS - 1);
      machine.beat();
    }
    assert.ok(machine.ask());
  },
  "interval: one that is lost does no harm, a silence does": (machine) => {
    machine.pass(TIMEOUT_MS / 3);
    machine.pass(TIMEOUT_MS / 3);
    machine.beat();
    machine.pass(TIMEOUT_MS);
    assert.ok(machine.isLocked);
  },
  "extended timeout: a release gives the time of a boot": (machine) => {
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(machine.ask());
    machine.pass(BOOT_MS - 1);
    machine.beat();
    assert.equal(machine.isLocked, false);
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(machine.ask());
  },
  "extended timeout: once, not again and again": (machine) => {
    assert.ok(machine.ask());
    machine.pass(BOOT_MS - 1);
    assert.ok(machine.ask());
    machine.pass(1);
    assert.ok(machine.isLocked);
  },
  "extended timeout: again after a heartbeat": (machine) => {
    machine.ask();
    machine.pass(MINUTE_MS);
    machine.beat();
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(machine.ask());
    machine.pass(BOOT_MS - 1);
    assert.equal(machine.isLocked, false);
  },
  "extended timeout: a heartbeat ends it, and the timeout counts": (machine) => {
    machine.ask();
    machine.beat();
    machine.pass(TIMEOUT_MS);
    assert.ok(machine.isLocked);
  },
  "disabled until a person enables it: no heartbeat and no asking does": (machine) => {
    machine.pass(TIMEOUT_MS);
    machine.beat();
    assert.equal(machine.ask(), false);
    machine.pass(1000 * MINUTE_MS);
    machine.beat();
    assert.equal(machine.ask(), false);
    machine.unlock();
    assert.ok(machine.ask());
  },
  "disabled: a heartbeat that comes in the moment of the timeout is too late": (machine) => {
    machine.trueMs += TIMEOUT_MS;
    machine.beat();
    machine.pass(1000);
    assert.ok(machine.isLocked);
  },
  "enabled: it has the time of a boot, and no more": (machine) => {
    machine.pass(TIMEOUT_MS);
    machine.unlock();
    machine.pass(BOOT_MS - 1);
    assert.ok(isAlive(machine.pulse, machine.monotonicMs));
    machine.pass(1);
    assert.ok(machine.isLocked);
  },
  "across restarts: away for less than the timeout, it is released for the rest of it": (machine) => {
    machine.restart(TIMEOUT_MS - 2 * MINUTE_MS);
    machine.pass(2 * MINUTE_MS - 1);
    assert.ok(isAlive(machine.pulse, machine.monotonicMs));
    machine.pass(1);
    assert.equal(machine.ask(), false);
  },
  "across restarts: away for longer, it is not released, nor locked before its timeout": (machine) => {
    machine.restart(TIMEOUT_MS);
    assert.equal(machine.ask(), false);
    machine.pass(TIMEOUT_MS - 1);
    assert.equal(machine.ask(), false);
    assert.equal(machine.isLocked, false);
    machine.pass(1);
    assert.ok(machine.isLocked);
  },
  "across restarts: heard within the timeout, it goes on": (machine) => {
    machine.restart(1000 * MINUTE_MS);
    machine.pass(TIMEOUT_MS - 1);
    machine.beat();
    assert.ok(machine.ask());
  },
  "across restarts: one after the other give no release": (machine) => {
    for (let count = 0; count < 100; count++) {
      machine.restart(0);
      machine.pass(TIMEOUT_MS - 1000);
      assert.equal(machine.ask(), count === 0);
      if (count === 0) machine.trueMs += BOOT_MS;
    }
  },
  "across restarts: the time of a boot goes on, and is not had again": (machine) => {
    assert.ok(machine.ask());
    machine.restart(MINUTE_MS);
    machine.pass(BOOT_MS - MINUTE_MS - 1);
    assert.ok(machine.ask());
    machine.pass(1);
    assert.ok(machine.isLocked);
  },
  "across restarts: a clock that is years ahead neither releases nor locks": (machine) => {
    machine.wallAheadMs += 1e6 * MINUTE_MS;
    machine.restart(1000);
    assert.equal(machine.ask(), false);
    machine.pass(TIMEOUT_MS - 1000);
    machine.beat();
    assert.ok(machine.ask());
  },
  "across restarts: a clock that is years behind neither releases nor locks": (machine) => {
    machine.wallAheadMs -= 1e6 * MINUTE_MS;
    machine.restart(1000);
    assert.equal(machine.ask(), false);
    machine.pass(TIMEOUT_MS - 1000);
    machine.beat();
    assert.ok(machine.ask());
  },
  "across restarts: a clock that went back by less than a minute gives no more than was left": (machine) => {
    machine.wallAheadMs -= MINUTE_MS / 2;
    machine.restart(0);
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(isAlive(machine.pulse, machine.monotonicMs));
    machine.pass(1);
    assert.equal(machine.ask(), false);
  },
  "a clock that jumps while the server runs changes nothing": (machine) => {
    machine.wallAheadMs += 1e6 * MINUTE_MS;
    machine.pass(TIMEOUT_MS - 1);
    assert.ok(isAlive(machine.pulse, machine.monotonicMs));
    machine.wallAheadMs -= 2e6 * MINUTE_MS;
    machine.pass(1);
    assert.ok(machine.isLocked);
  },
  "a server that was held up locks nobody for it, and releases to nobody": (machine) => {
    machine.heldUp(1000 * MINUTE_MS);
    assert.equal(machine.isLocked, false);
    assert.equal(machine.ask(), false);
    machine.pass(TIMEOUT_MS - 1);
    machine.beat();
    assert.ok(machine.ask());
  },
};

describe("as Mandos has it, or better", () => {
  for (const [says, play] of Object.entries(HISTORIES)) test(says, () => play(running()));
});

test("a machine of which nothing was heard yet has the time of a boot", () => {
  const played = new Played();
  played.pass(BOOT_MS - 1);
  assert.equal(played.isLocked, false);
  played.pass(1);
  assert.ok(played.isLocked);
});

test("a machine has its timeout, or the time of a boot, whichever is longer; a heartbeat leaves its timeout", () => {
  const nowMs = 7;
  for (const timeoutMs of [TIMEOUT_MS, BOOT_MS, 60 * MINUTE_MS]) {
    const pulse = (lastsMs: number, isExtended: boolean): alive.Pulse => {
      return { timeoutMs, openUntilMs: nowMs + lastsMs, dueMs: nowMs + lastsMs, isExtended };
    };
    const longerMs = Math.max(timeoutMs, BOOT_MS);
    const [heard, extended] = [pulse(timeoutMs, false), pulse(longerMs, true)];
    assert.deepEqual(begun(timeoutMs, nowMs), pulse(longerMs, false));
    assert.deepEqual(alive.returned(timeoutMs, nowMs), pulse(BOOT_MS, true));
    assert.deepEqual(alive.heard(extended, nowMs), heard);
    assert.deepEqual(alive.released(heard, nowMs), extended);
    assert.equal(alive.released(extended, nowMs), null);
    const kept = stored(extended, { nowMs: WALL_MS, monotonicMs: nowMs });
    assert.deepEqual(kept, { timeoutMs, untilMs: WALL_MS + longerMs, savedMs: WALL_MS, isExtended: true });
    assert.deepEqual(resumed(kept, { nowMs: WALL_MS, latestMs: WALL_MS, monotonicMs: nowMs }), extended);
  }
});

test("what was stored is good for what is left of it by the clock, for no more than it was, and for no more than can be", () => {
  const untilMs = WALL_MS + TIMEOUT_MS;
  const left = (kept: Partial<alive.StoredPulse>, nowMs: number, latestMs: number) => {
    const pulse = { timeoutMs: TIMEOUT_MS, untilMs, savedMs: WALL_MS, isExtended: false, ...kept };
    return resumed(pulse, { nowMs, latestMs, monotonicMs: 0 }).openUntilMs;
  };
  assert.equal(left({}, WALL_MS + MINUTE_MS, WALL_MS), TIMEOUT_MS - MINUTE_MS);
  assert.equal(left({}, WALL_MS - MINUTE_MS, WALL_MS), TIMEOUT_MS);
  assert.equal(left({}, WALL_MS - MINUTE_MS - 1, WALL_MS - 1), 0, "well behind when it was stored");
  assert.equal(left({}, WALL_MS, untilMs), 0, "over by the log");
  assert.equal(left({ untilMs: WALL_MS + 24 * 60 * MINUTE_MS }, WALL_MS, WALL_MS), BOOT_MS);
});

test("what releases for longer after a crash is written at once: what ends earlier, and what ends the time of a boot", () => {
  const pulse = (openUntilMs: number, isExtended: boolean) => ({ ...begun(TIMEOUT_MS, 0), openUntilMs, isExtended });
  for (const before of [false, true]) {
    for (const after of [false, true]) {
      for (const laterMs of [-1, 0, 1]) {
        const expected = laterMs < 0 || (before && !after);
        assert.equal(alive.shortens(pulse(1000, before), pulse(1000 + laterMs, after)), expected);
      }
    }
  }
});

test("what was held up is forgiven, and never for less than there was", () => {
  const pulse = begun(TIMEOUT_MS, 0);
  assert.deepEqual(forgiven(pulse, 1000), pulse);
  assert.ok(!isOverdue(forgiven(pulse, BOOT_MS), BOOT_MS));
});

test("the next heartbeat is wanted four times in the timeout, and once a second at most", () => {
  assert.equal(alive.wantedSeconds(TIMEOUT_MS), 75);
  assert.equal(alive.wantedSeconds(alive.MIN_TIMEOUT_MS), 1);
  assert.ok(4 * alive.wantedSeconds(alive.MIN_TIMEOUT_MS) * 1000 <= alive.MIN_TIMEOUT_MS);
});

test("what releases more than before is told from what does not", () => {
  const [always, lease] = [
    { policy: "always", timeoutMs: null },
    { policy: "lease", timeoutMs: null },
  ] as const;
  const silent = (timeoutMs: number) => ({ policy: "alive", timeoutMs }) as const;
  const loose = [
    [lease, always],
    [silent(1), always],
    [lease, silent(1)],
    [silent(1), silent(2)],
  ] as const;
  for (const [from, to] of loose) assert.ok(loosens(from, to) && !loosens(to, from), JSON.stringify([from, to]));
  for (const same of [always, lease, silent(1)]) assert.equal(loosens(same, same), false);
});

const step = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: "beat" as const }) },
  { weight: 6, arbitrary: fc.constant({ kind: "ask" as const }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("pass" as const), minutes: fc.constantFrom(1, 2, 4, 5, 15) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "save" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "unlock" as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const), minutes: fc.constantFrom(0, 1, 4, 60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("held-up" as const), minutes: fc.constantFrom(1, 6, 60) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("set" as const), minutes: fc.constantFrom(-1e6, -5, 5, 1e6) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const histories = fc.array(step, { maxLength: 60, size: "max" });

/** Plays a history; the first promise that is broken in it, or null. */
function play(rules: Rules, steps: readonly Step[]): string | null {
  const server = new Played(rules);
  let setMs = 0;
  /** Until when a release is right at most, by the clock that nobody sets. */
  let mayUntilMs = BOOT_MS;
  let hasExtended = false;
  let wasSet = false;
  /** Since when the server listens without a break. */
  let listensSinceMs = 0;
  let heardMs = 0;
  for (const next of steps) {
    const wasLocked = server.isLocked;
    switch (next.kind) {
      case "beat":
        server.beat();
        if (wasLocked || server.trueMs >= Math.max(mayUntilMs, listensSinceMs + TIMEOUT_MS)) break;
        heardMs = server.trueMs;
        mayUntilMs = server.trueMs + TIMEOUT_MS;
        hasExtended = false;
        break;
      case "ask":
        if (!server.ask()) break;
        if (wasLocked) return "released while locked";
        if (server.trueMs >= mayUntilMs && !wasSet) return "released after the timeout";
        if (!hasExtended) mayUntilMs = Math.max(mayUntilMs, server.trueMs + BOOT_MS);
        hasExtended = true;
        break;
      case "pass": {
        server.pass(next.minutes * MINUTE_MS);
        const silentMs = server.trueMs - Math.max(heardMs, listensSinceMs);
        if (!wasLocked && server.isLocked && silentMs < TIMEOUT_MS) return "locked before the timeout";
        if (!server.isLocked && silentMs >= BOOT_MS && server.trueMs >= mayUntilMs + TIMEOUT_MS) return "never locked";
        break;
      }
      case "save":
        server.save();
        break;
      case "unlock":
        server.unlock();
        mayUntilMs = server.trueMs + BOOT_MS;
        hasExtended = false;
        heardMs = server.trueMs;
        break;
      case "restart":
        if (server.isLocked) break;
        server.restart(next.minutes * MINUTE_MS);
        listensSinceMs = server.trueMs;
        break;
      case "held-up":
        if (server.isLocked) break;
        server.heldUp(next.minutes * MINUTE_MS);
        listensSinceMs = server.trueMs;
        break;
      case "set":
        setMs += next.minutes * MINUTE_MS;
        server.wallAheadMs = WALL_MS + setMs;
        wasSet = true;
    }
  }
  return null;
}

test("no history releases after the timeout, or locks before it", () => {
  fc.assert(
    fc.property(histories, (steps) => {
      assert.equal(play(alive, steps), null);
    }),
    { numRuns: 1000 },
  );
});

const FAULTS: Readonly<Record<string, readonly [caught: string, rules: Partial<Rules>]>> = {
  "a heartbeat that is too late counts": [
    "released after the timeout",
    {
      heard: (pulse, nowMs) => alive.heard({ ...pulse, dueMs: Number.POSITIVE_INFINITY }, nowMs),
      isOverdue: () => false,
    },
  ],
  "each release extends": [
    "released after the timeout",
    { released: (pulse, nowMs) => alive.released({ ...pulse, isExtended: false }, nowMs) },
  ],
  "the first heartbeat after a boot is not written": ["released after the timeout", { shortens: () => false }],
  "a restart releases for its grace": [
    "released after the timeout",
    {
      resumed: (kept, times) => {
        const pulse = alive.resumed(kept, times);
        return { ...pulse, openUntilMs: pulse.dueMs };
      },
    },
  ],
  "whoever was held up is released": [
    "released after the timeout",
    {
      forgiven: (pulse, nowMs) => {
        const later = alive.forgiven(pulse, nowMs);
        return { ...later, openUntilMs: later.dueMs };
      },
    },
  ],
  "a restart locks at once": [
    "locked before the timeout",
    {
      resumed: (kept, times) => {
        const pulse = alive.resumed(kept, times);
        return { ...pulse, dueMs: pulse.openUntilMs };
      },
    },
  ],
  "a server's own silence counts": ["locked before the timeout", { forgiven: (pulse) => pulse }],
  "nobody is gone": ["never locked", { isOverdue: () => false }],
  "the timeout is forgotten": ["released after the timeout", { isAlive: () => true, isOverdue: () => false }],
};

for (const [fault, [caught, wrong]] of Object.entries(FAULTS)) {
  test(`a planted fault is caught: ${fault}`, () => {
    const found = new Set<string>();
    for (const steps of fc.sample(histories, { numRuns: 2000, seed: 1 })) {
      const broken = play({ ...alive, ...wrong }, steps);
      if (broken !== null) found.add(broken);
      if (found.has(caught)) break;
    }
    assert.ok(found.has(caught), [...found].join(", "));
  });
}
