/**
 * The model of a machine under `approval` (approval.pml): spin goes through all of it, and finds
 * each fault that is planted in it. What it tells of a run is what the real service does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../src/core/errors.ts";
import { setPolicy } from "../../src/server/service/policies/policies.ts";
import { vote } from "../../src/server/service/policies/requests.ts";
import { changeMachine, type StateChange } from "../../src/server/service/policies/states.ts";
import { makeHome } from "../support/server/harness.ts";
import { ADDRESSES, MINUTE_MS, ReplayedService } from "./replayed.ts";
import { drawRun, full, modelOf, search } from "./spin.ts";

const MODEL = modelOf("approval");

/** What can be wrong with the model by -D, and why somebody would build it so. */
const FAULTS = [
  "OPERATOR_COUNTS_TWICE",
  "ONE_IS_ENOUGH",
  "WINDOW_FOR_ANYBODY",
  "DENIAL_IS_NOT_HEEDED",
  "LOCK_KEEPS_REQUESTS",
  "LOCK_KEEPS_WINDOW",
  "EXPIRED_COUNTS",
  "VOTES_OUTLIVE_THEIR_REQUEST",
  "STALE_WORD_COUNTS",
  "WINDOW_WITHOUT_END",
  "USE_IS_NOT_NOTED",
  "LOCK_IN_MEMORY",
  "DENIAL_IN_MEMORY",
];

const LARGER = ["-DASKS=3", "-DWORDS=4", "-DTIMES=2"];
const LONG = ["-DASKS=16", "-DWORDS=24", "-DCHANGES=4", "-DTIMES=6", "-DCRASHES=2", "-DOPERATORS=3"];
/** Requests wait for longer than all windows of a run are open. */
const WAIT_MS = 1440 * MINUTE_MS;

test("no order of events opens a window that too few operators have approved of", (context) => {
  using home = makeHome();
  const { errors, states, isWhole } = search(home, "right", full ? LARGER : [], MODEL);
  assert.equal(errors, 0);
  assert.ok(isWhole);
  assert.ok(states > 50_000, `${states} states`);
  context.diagnostic(`${states} states`);
});

for (const fault of full ? FAULTS : FAULTS.filter((_, index) => index % 4 === 0)) {
  test(`a fault in the model of approval is found: ${fault}`, () => {
    using home = makeHome();
    assert.equal(search(home, fault, [`-D${fault}`], MODEL).errors, 1);
  });
}

/** What came of an operator's word, in the model's words. */
const REFUSED: Readonly<Record<string, string>> = { "request/unknown": "unknown", "request/denied": "denied" };

/** The real service, which does what the model did. */
class Replayed extends ReplayedService {
  /** The requests that operators have seen, by their bits. */
  readonly #seen = new Map<string, string>();

  override async open(): Promise<void> {
    await super.open();
    await setPolicy(this.service, this.machine.id, {
      policy: "approval",
      approval: { of: 2, timeoutMs: WAIT_MS },
      by: 0,
    });
  }

  override async take([what = "", word = "", more = ""]: readonly string[]): Promise<string> {
    switch (what) {
      case "ask":
        return `ask ${word} ${await this.ask(word)}`;
      case "look": {
        const from = ADDRESSES[more] ?? "";
        const { id } = this.machine;
        const seen = await this.service.store.transact((transaction) => transaction.requestFrom(id, from));
        this.#seen.set(word, seen?.id ?? "none");
        return `look ${word} ${more}`;
      }
      case "approve":
      case "deny":
        return `${what} ${word} ${await this.#say(what, word, this.#seen.get(word) ?? "none")}`;
      case "name":
        return `name ${word} ${more} ${await this.#say("approve", word, `nas@${ADDRESSES[more]}`)}`;
      case "change":
        await changeMachine(this.service, this.machine.id, { by: 0, change: word as StateChange });
        return `change ${word}`;
      case "minute":
        this.pass(MINUTE_MS);
        return what;
      case "window-over":
        this.pass(10 * MINUTE_MS);
        return what;
      case "request-over":
        this.pass(WAIT_MS);
        return what;
      case "crash":
        await this.crash();
        return what;
      default:
        throw new Error(`the model does what nobody knows: ${what}`);
    }
  }

  async #say(verb: "approve" | "deny", bit: string, named: string): Promise<string> {
    try {
      const { changed, opened } = await vote(this.service, named, { verb, by: 1000 + Number(bit) });
      if (!changed) return "again";
      return verb === "deny" ? "denies" : opened ? "opens" : "counts";
    } catch (error) {
      if (!isError(error) || REFUSED[error.code] === undefined) throw error;
      return REFUSED[error.code] ?? "";
    }
  }
}

test("what the model of approval does the service does too, answer for answer", async (context) => {
  const seen = new Set<string>();
  let steps = 0;
  for (let seed = 1; seed <= (full ? 200 : 10); seed++) {
    // A revocation is the end of most runs that have one.
    const run = drawRun(seed, seed % 4 === 0 ? LONG : [...LONG, "-DSPARED"], MODEL);
    await using replayed = new Replayed();
    for (const told of await replayed.replay(run, `seed ${seed}`)) seen.add(told.replace(/ [\d ]+ /, " "));
    steps += run.length;
  }
  for (const told of [
    "ask released",
    "ask denied",
    "approve opens",
    "approve unknown",
    "name counts",
    "deny denies",
    "crash",
  ])
    assert.ok(seen.has(told), `no run has ${told}: ${[...seen].join("; ")}`);
  context.diagnostic(`${steps} steps`);
});
