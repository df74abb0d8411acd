/**
 * The model of a machine under `alive` (alive.pml): spin goes through all of it, and finds each
 * fault that is planted in it. What it tells of a run is what the real service does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listen, lockGone, saveHeard } from "../../src/server/service/alive/alive.ts";
import { setPolicy } from "../../src/server/service/policies/policies.ts";
import { changeMachine } from "../../src/server/service/policies/states.ts";
import { makeHome, type OpenService } from "../support/server/harness.ts";
import { beat, sendSession, sessionOf, sessionRequest, type TestSession } from "../support/server/heartbeats.ts";
import { MINUTE_MS, ReplayedService } from "./replayed.ts";
import { drawRun, full, modelOf, search } from "./spin.ts";

const MODEL = modelOf("alive");

/** What can be wrong with the model by -D, and why somebody would build it so. */
const FAULTS = [
  "HEARTBEAT_UNLOCKS",
  "LOCK_IN_MEMORY",
  "RESTART_IS_A_HEARTBEAT",
  "END_OF_BOOT_IN_MEMORY",
  "EACH_RELEASE_EXTENDS",
  "NOBODY_IS_FORGIVEN",
];
const LARGER = ["-DBEATS=6", "-DASKS=7", "-DUNLOCKS=4", "-DCRASHES=4"];
const LONG = [
  "-DTIMED",
  "-DBEATS=30",
  "-DASKS=20",
  "-DUNLOCKS=12",
  "-DCRASHES=5",
  "-DTICKS=40",
  "-DBOOTS=4",
  "-DLOOKS=8",
];

/** The shortest that there is: the time of a boot is longer than all ticks of a run. */
const TIMEOUT_MS = 5_000;
const BOOT_MS = 15 * MINUTE_MS;

/** Faults of the service, which a replay of the right model must show. */
const PLANTED: Readonly<Record<string, (service: OpenService) => void>> = {
  "a restart counts as a heartbeat": ({ pulses, clock }) => {
    const pulse = pulses.pulseOf(0);
    if (pulse !== null) pulses.setPulse(0, { ...pulse, openUntilMs: clock.monotonicMs + TIMEOUT_MS });
  },
  "nobody is forgiven the server's own silence": ({ pulses }) => {
    const pulse = pulses.pulseOf(0);
    if (pulse !== null) pulses.setPulse(0, { ...pulse, dueMs: pulse.openUntilMs });
  },
  "each release gives the time of a boot once more": ({ pulses }) => {
    const { pulseOf } = pulses;
    pulses.pulseOf = (number) => {
      const pulse = pulseOf.call(pulses, number);
      return pulse === null ? null : { ...pulse, isExtended: false };
    };
  },
};

test("no order of heartbeats, releases and restarts breaks what must hold under alive", (context) => {
  using home = makeHome();
  // What is replayed is a part of what is searched without a clock.
  for (const defines of full ? [LARGER, ["-DTIMED"]] : [[]]) {
    const { errors, states, isWhole } = search(home, `alive${defines.length}`, defines, MODEL);
    assert.equal(errors, 0);
    assert.ok(isWhole);
    assert.ok(states > 1_000, `${states} states`);
    context.diagnostic(`${states} states`);
  }
});

for (const fault of full ? FAULTS : FAULTS.filter((_, index) => index % 3 === 0)) {
  test(`a fault in the model of alive is found: ${fault}`, () => {
    using home = makeHome();
    assert.equal(search(home, fault, [`-D${fault}`], MODEL).errors, 1);
  });
}

/** The real service, which does what the model did. */
class Replayed extends ReplayedService {
  readonly #plant: (service: OpenService) => void;
  /** Null since the server was started anew, until the machine is heard. */
  #session: TestSession | null = null;

  /** @param plant puts a fault into the service at each start */
  constructor(plant: (service: OpenService) => void = () => {}) {
    super();
    this.#plant = plant;
  }

  override async open(): Promise<void> {
    await super.open();
    this.#session = await sessionOf(this.service, this.machine);
    await beat(this.service, this.#session);
    await setPolicy(this.service, this.machine.id, { policy: "alive", timeoutMs: TIMEOUT_MS, by: 0 });
    await beat(this.service, this.#session);
    this.#plant(this.service);
  }

  override async crash(): Promise<void> {
    await super.crash();
    this.#session = null;
    this.#plant(this.service);
  }

  override async take([what = "", word = ""]: readonly string[]): Promise<string> {
    switch (what) {
      case "beat":
        return `beat ${await this.#beat()}`;
      case "ask":
        return `ask ${word} ${await this.ask(word)}`;
      case "look":
        return `look ${await this.#look()}`;
      case "save":
        await saveHeard(this.service, true);
        return what;
      case "unlock":
        await changeMachine(this.service, this.machine.id, { by: 0, change: "unlock" });
        return what;
      case "tick":
        this.#goOn(TIMEOUT_MS / 2);
        return what;
      case "boot_over":
        this.#goOn(BOOT_MS);
        return what;
      case "crash":
        await this.crash();
        return what;
      default:
        throw new Error(`the model does what nobody knows: ${what}`);
    }
  }

  /** The server listens meanwhile: when it looks is for the model to say. */
  #goOn(ms: number): void {
    this.pass(ms);
    this.service.pulses.listenedMs = this.service.clock.monotonicMs;
  }

  async #beat(): Promise<"well" | "told_locked"> {
    const { service, machine } = this;
    this.#session ??= await this.#openSession();
    if (this.#session === null) return "told_locked";
    const heard = await beat(service, this.#session);
    assert.ok(typeof heard === "object", `the heartbeat is refused: ${heard} of ${machine.id}`);
    return heard.isLocked ? "told_locked" : "well";
  }

  /** Null where it is refused since the machine is locked. */
  async #openSession(): Promise<TestSession | null> {
    const session = await sendSession(this.service, this.machine, sessionRequest(this.service, this.machine));
    if (typeof session !== "string") return session;
    assert.equal(session, "machine/locked");
    return null;
  }

  async #look(): Promise<"locks" | "nothing"> {
    const before = await this.#state();
    listen(this.service, this.service.clock.monotonicMs);
    await lockGone(this.service);
    return (await this.#state()) === before ? "nothing" : "locks";
  }

  #state() {
    return this.service.store.transact(async (transaction) => (await transaction.machine(this.machine.id))?.state);
  }
}

async function replay(seed: number, plant?: (service: OpenService) => void): Promise<string[]> {
  await using replayed = new Replayed(plant);
  return await replayed.replay(drawRun(seed, LONG, MODEL), `seed ${seed}`);
}

test("what the model of alive does the service does too, answer for answer", async (context) => {
  const seen = new Set<string>();
  let steps = 0;
  for (let seed = 1; seed <= (full ? 200 : 3); seed++) {
    const told = await replay(seed);
    steps += told.length;
    for (const one of told) seen.add(one);
  }
  for (const told of [
    "beat well",
    "beat told_locked",
    "ask 1 released",
    "ask 1 not_alive",
    "ask 1 machine_locked",
    "look locks",
    "look nothing",
    "save",
    "crash",
  ])
    assert.ok(seen.has(told), `no run has ${told}: ${[...seen].join("; ")}`);
  context.diagnostic(`${steps} steps`);
});

for (const [fault, plant] of Object.entries(PLANTED).slice(0, full ? undefined : 1)) {
  test(`a service in which ${fault} does not do what the model does`, async (context) => {
    for (let seed = 1; seed <= 40; seed++) {
      try {
        await replay(seed, plant);
      } catch (error) {
        assert.ok(error instanceof assert.AssertionError, String(error));
        context.diagnostic(error.message.split("\n")[0] ?? "");
        return;
      }
    }
    assert.fail("each run is the same");
  });
}
