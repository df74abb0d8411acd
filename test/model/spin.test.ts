/**
 * The model of a release (release.pml): spin goes through all of it, and finds each fault that is
 * planted in it. What it tells of a run is what the real service does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../src/core/errors.ts";
import { grantLease, setPolicy } from "../../src/server/service/policies/policies.ts";
import { changeMachine, type StateChange } from "../../src/server/service/policies/states.ts";
import { leaseRequest, makeHome, sendLease } from "../support/server/harness.ts";
import { MINUTE_MS, ReplayedService } from "./replayed.ts";
import { drawRun, full, modelOf, search } from "./spin.ts";

const MODEL = modelOf("release");

/** What can be wrong with the model by -D, and why somebody would build it so. */
const FAULTS = [
  "LOCK_IS_NOT_READ",
  "NO_REVOCATION",
  "LOCK_IN_MEMORY",
  "RESTART_UNLOCKS",
  "WINDOW_OUTLIVES_CHANGES",
  "WINDOW_WITHOUT_END",
  "USE_IS_NOT_NOTED",
  "USE_IN_MEMORY",
  "GRACE_IS_ANYBODYS",
  "REPLAY_IS_TAKEN",
  "ACKNOWLEDGED_TOO_SOON",
];

const LARGER = ["-DCLIENT_ASKS=2", "-DTHIEF_ASKS=1", "-DCHANGES=3", "-DANNOUNCEMENTS=1", "-DREPLAYS=1", "-DCRASHES=2"];
const LONG = ["-DCLIENT_ASKS=9", "-DTHIEF_ASKS=7", "-DCHANGES=9", "-DANNOUNCEMENTS=5", "-DREPLAYS=5", "-DCRASHES=3"];

test("no order of events breaks what must always hold", (context) => {
  using home = makeHome();
  const { errors, states, isWhole } = search(home, "right", full ? LARGER : [], MODEL);
  assert.equal(errors, 0);
  assert.ok(isWhole);
  assert.ok(states > 10_000, `${states} states`);
  context.diagnostic(`${states} states`);
});

for (const fault of full ? FAULTS : FAULTS.filter((_, index) => index % 3 === 1)) {
  test(`a fault in the model is found: ${fault}`, () => {
    using home = makeHome();
    assert.equal(search(home, fault, [`-D${fault}`], MODEL).errors, 1);
  });
}

/** The real service, which does what the model did. */
class Replayed extends ReplayedService {
  #halt: Disposable | null = null;
  #heard: Buffer | null = null;

  override async open(): Promise<void> {
    await super.open();
    await setPolicy(this.service, this.machine.id, { policy: "lease", by: 0 });
  }

  override async take([what = "", word = ""]: readonly string[]): Promise<string> {
    switch (what) {
      case "ask":
        return `ask ${word} ${await this.ask(word)}`;
      case "halt":
        this.#halt = this.service.halts.place({ machine: this.machine.id, latch: null });
        return what;
      case "change":
        this.#halt?.[Symbol.dispose]();
        await this.#change(word);
        return `change ${word}`;
      case "sign":
        this.#heard = await leaseRequest(this.service, this.machine, { seconds: 1800 });
        return what;
      case "post": {
        const told = await sendLease(this.service, this.#heard ?? Buffer.alloc(0));
        return `post ${typeof told === "object" && told.isNeeded ? "taken" : "refused"}`;
      }
      case "window-over":
        await this.#goOn(async () => (await this.#rows()).machine?.lease?.untilMs ?? 0);
        return what;
      case "grace-over":
        await this.#goOn(async () => 0);
        return what;
      case "crash":
        await this.crash();
        this.#halt = null;
        return what;
      default:
        throw new Error(`the model does what nobody knows: ${what}`);
    }
  }

  async #change(word: string): Promise<void> {
    const { id } = this.machine;
    try {
      if (word === "grant")
        await grantLease(this.service, id, { lifetimeMs: 1440 * MINUTE_MS, graceMs: MINUTE_MS, by: 0 });
      else if (word.startsWith("to_"))
        await setPolicy(this.service, id, { policy: word === "to_always" ? "always" : "lease", by: 0 });
      else await changeMachine(this.service, id, { by: 0, change: word as StateChange });
    } catch (error) {
      if (!isError(error) || !/^machine\/|^lease\/not-needed$/.test(error.code)) throw error;
    }
  }

  #rows() {
    return this.service.store.transact(async (transaction) => ({
      machine: await transaction.machine(this.machine.id),
    }));
  }

  /** Time goes on by a minute, or until then. */
  async #goOn(until: () => Promise<number>): Promise<void> {
    this.pass(Math.max(MINUTE_MS, (await until()) - this.service.clock.nowMs));
  }
}

test("what the model does the service does too, answer for answer", async (context) => {
  const seen = new Set<string>();
  let steps = 0;
  for (let seed = 1; seed <= (full ? 200 : 12); seed++) {
    const run = drawRun(seed, LONG, MODEL);
    await using replayed = new Replayed();
    for (const told of await replayed.replay(run, `seed ${seed}`)) seen.add(told);
    steps += run.length;
  }
  for (const verdict of ["released", "machine_locked", "latch_revoked", "no_lease"])
    assert.ok(seen.has(`ask 1 ${verdict}`), `no run has ${verdict}`);
  assert.ok(seen.has("post taken") && seen.has("post refused") && seen.has("crash"));
  context.diagnostic(`${steps} steps`);
});
