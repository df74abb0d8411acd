/**
 * Every operation of the server may be run again: a batch in which one fails is rolled back and run
 * one by one, and a full disk refuses it altogether. Random histories on a store whose transactions
 * fail at random points, against a twin whose store never fails and that is asked one thing at a
 * time: what is told, and what the log says at the end, must be the same.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse, startHousekeeping } from "../../../../src/server/housekeeping.ts";
import { assembleService } from "../../../../src/server/service/assemble.ts";
import { resumeDays } from "../../../../src/server/service/days.ts";
import { grantLease, setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { changeLatch, changeMachine, type StateChange } from "../../../../src/server/service/policies/states.ts";
import type { Service } from "../../../../src/server/service/service.ts";
import { type OpenedStore, openFolder } from "../../../../src/server/store/folder/folder.ts";
import type { Store, Transaction } from "../../../../src/server/store/port.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import {
  addLatchTo,
  ask,
  enrolWith,
  type Home,
  makeHome,
  makeInvite,
  newMachine,
  recoveryBody,
  type TestLatch,
  type TestMachine,
  UID,
} from "../../../support/server/harness.ts";

const PACE_BURST = 120;

const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
const MACHINES: readonly TestMachine[] = [newMachine(), newMachine(), newMachine()];
const NAMES = ["nas", "pi", "vps"];
const BODY = recoveryBody();

/** When a transaction fails: at which of its calls (at its end where there are fewer), and how. */
interface Fault {
  readonly at: number;
  readonly kind: "none" | "defect" | "full";
}

class Injected extends Error {}

/** Each transaction takes the next fault. */
function faulty(store: Store, faults: Fault[]): Store {
  let count = 0;
  const transact: Store["transact"] = (work) =>
    store.transact(async (transaction) => {
      const { kind, at } = faults[count++ % Math.max(1, faults.length)] ?? { kind: "none", at: 0 };
      const fail = () => {
        if (kind === "full") throw new NightlatchError("store/full", "injected");
        throw new Injected("injected");
      };
      let calls = 0;
      const counted = new Proxy(transaction, {
        get: (target, name) => {
          const call = target[name as keyof Transaction] as (...args: unknown[]) => unknown;
          return (...args: unknown[]) => {
            if (kind !== "none" && calls++ === at) fail();
            return call.apply(target, args);
          };
        },
      });
      const result = await work(counted);
      if (kind !== "none" && calls <= at) fail();
      return result;
    });
  return new Proxy(store, {
    get: (target, name) => (name === "transact" ? transact : Reflect.get(target, name, target)),
  });
}

type Told = { readonly told: unknown } | { readonly injected: true };

/** One of the two: a service, and what its machines hold. */
class Side implements AsyncDisposable {
  readonly home: Home = makeHome();
  nowMs = 1_800_000_000_000;
  readonly invites: string[] = [];
  readonly latches: TestLatch[] = [];
  service!: Service;
  #faults: Fault[] = [];
  #opened!: OpenedStore;
  #stop!: () => Promise<void>;

  async open(faults: readonly Fault[]): Promise<this> {
    const opened = await openFolder({ ...nodeSystem, nowMs: () => this.nowMs }, this.home.folder, { uid: UID });
    const { sleep, random } = nodeSystem;
    const system = { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs, sleep, random };
    this.#faults = [...faults];
    // Only what is submitted meets the faults; a change that failed is not tried again by itself,
    // which would alter the order.
    Object.assign(opened.store, { makeRoom: async () => false });
    const assembled = assembleService(system, {
      ...opened,
      store: faulty(opened.store, this.#faults) as OpenedStore["store"],
    });
    this.service = { ...assembled, store: opened.store };
    await resumeDays(this.service);
    this.#opened = opened;
    this.#stop = startHousekeeping(this.service, (error) => {
      if (!isInjected(error)) throw error;
    });
    return this;
  }

  /** Submits at once; what comes of it is told. */
  async take(act: Act): Promise<Told> {
    try {
      return { told: await this.#take(act) };
    } catch (error) {
      if (isInjected(error)) return { injected: true };
      if (isError(error)) return { told: error.code };
      throw error;
    }
  }

  async #take(act: Act): Promise<unknown> {
    const { service } = this;
    const machine = MACHINES[act.pick % MACHINES.length] as TestMachine;
    const latch = this.latches[act.pick % Math.max(1, this.latches.length)];
    switch (act.kind) {
      case "invite": {
        this.invites.push(await makeInvite(service, NAMES[act.pick % NAMES.length] ?? "", 600_000));
        return "invited";
      }
      case "enrol": {
        const line = this.invites[act.other % Math.max(1, this.invites.length)];
        return line === undefined ? null : this.#keep(await enrolWith(service, machine, line, act.nonce));
      }
      case "latch":
        return this.#keep(await addLatchTo(service, machine, act.nonce));
      case "release": {
        if (latch === undefined) return null;
        const outcome = await ask(service, latch, BODY, `192.0.2.${act.other % 24}`);
        return outcome.kind === "refused" ? outcome.reason : outcome.kind;
      }
      case "machine":
        return (await changeMachine(service, machine.id, { by: 0, change: act.change })).changed;
      case "one-latch":
        return latch && (await changeLatch(service, latch.latchId, { by: 0, change: act.change })).changed;
      case "policy": {
        const policy = act.other % 4 === 0 ? "always" : "lease";
        const limits = { perDay: act.pick % 2 === 0 ? "any" : "3" };
        return (await setPolicy(service, machine.id, { policy, limits, by: 0 })).changed;
      }
      case "grant": {
        const wanted = { lifetimeMs: 600_000, graceMs: act.other % 2 === 0 ? 0 : 60_000, by: 0 };
        return (await grantLease(service, machine.id, wanted)).machine.leases;
      }
      case "house":
        return keepHouse(service);
    }
  }

  #keep(outcome: TestLatch | string): unknown {
    if (typeof outcome === "string") return outcome;
    if (!this.latches.some(({ latchId }) => latchId === outcome.latchId)) this.latches.push(outcome);
    return outcome.name;
  }

  /**
   * Writes what was counted, and reads the log with ids that are its own replaced by the order in
   * which they come.
   */
  async log(): Promise<string[]> {
    this.#faults.length = 0;
    await this.#stop();
    const { audit } = this.service.store;
    await verifyLog({ ...audit, snapshot: await audit.snapshot() }, null);
    const names = new Map(MACHINES.map(({ id }, index) => [id, `machine ${index}`]));
    const bodies: string[] = [];
    for (let from = 0; ; ) {
      const page = await audit.entries(from);
      for (const { body } of page) {
        const text = String(body).replaceAll(/(?<=:")[\w-]{22}(?:[\w-]{21})?(?=")/g, (id) => {
          if (!names.has(id)) names.set(id, `id ${names.size}`);
          return names.get(id) ?? "";
        });
        // After a failure a flood's receipt is written once more, to see whether the disk takes it.
        if (!bodies.includes(text) || !text.includes('"kind":"flood"')) bodies.push(text);
      }
      const last = page.at(-1);
      if (last === undefined) return bodies;
      from = last.number + 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.store.close();
    this.home[Symbol.dispose]();
  }
}

function isInjected(error: unknown): boolean {
  return error instanceof Injected || (isError(error, "store/full") && error.message === "injected");
}

interface Act {
  readonly kind: "invite" | "enrol" | "latch" | "release" | "machine" | "one-latch" | "policy" | "grant" | "house";
  readonly pick: number;
  readonly other: number;
  readonly change: StateChange;
  readonly nonce: Buffer;
}

const actOf = (...kinds: Act["kind"][]) =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    pick: fc.nat(1000),
    other: fc.nat(1000),
    change: fc.constantFrom<StateChange>("lock", "unlock", "lock", "unlock", "revoke"),
    nonce: fc.nat(5).map((nonce) => Buffer.alloc(16, nonce)),
  });
const act = fc.oneof(
  { weight: 3, arbitrary: actOf("invite", "enrol", "latch") },
  { weight: 3, arbitrary: actOf("machine", "one-latch", "policy", "grant") },
  { weight: 8, arbitrary: actOf("release") },
);
/**
 * What arrives together. One that fails by itself is among it often: it makes the others run twice.
 */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ acts: fc.array(act, { maxLength: 12 }), house: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ burst: fc.nat(1000), count: fc.constantFrom(PACE_BURST - 2, PACE_BURST + 20) }) },
  { weight: 1, arbitrary: fc.record({ waitMs: fc.constantFrom(1000, 50_000, 300_000, 3_600_000) }) },
);
const fault = fc.record({ at: fc.nat(60), kind: fc.constantFrom<Fault["kind"]>("none", "none", "defect", "full") });

const HOUSE: Act = { kind: "house", pick: 0, other: 0, change: "lock", nonce: Buffer.alloc(16) };

function actsOf(next: typeof step extends fc.Arbitrary<infer T> ? T : never): Act[] {
  if ("acts" in next) return next.house ? [...next.acts, HOUSE] : next.acts;
  if ("waitMs" in next) return [];
  const one = { kind: "release", pick: next.burst, change: "lock", nonce: randomBytes(16) } as const;
  return Array.from({ length: next.count }, (_, index) => ({ ...one, other: index % 3 }));
}

/** Something to begin with: three machines with a latch each. */
async function begin(side: Side): Promise<void> {
  for (const [index] of NAMES.entries()) {
    await side.take({ ...HOUSE, kind: "invite", pick: index });
    await side.take({ ...HOUSE, kind: "enrol", pick: index, other: index, nonce: Buffer.alloc(16, 100) });
  }
}

test("what runs twice, or fails, leaves in memory and in the log what running once leaves", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: full ? 20 : 12, size: "max" }),
      fc.array(fault, { minLength: 1, maxLength: 40, size: "max" }),
      async (steps, faults) => {
        // The beginning meets no fault.
        await using tried = await new Side().open([...Array<Fault>(7).fill({ at: 0, kind: "none" }), ...faults]);
        await using twin = await new Side().open([]);
        await begin(tried);
        await begin(twin);
        for (const next of steps) {
          if ("waitMs" in next) {
            tried.nowMs += next.waitMs;
            twin.nowMs += next.waitMs;
          }
          const acts = actsOf(next);
          // Those that are picked from what there is now, so that both sides pick the same.
          const told = await Promise.all(acts.map((one) => tried.take(one)));
          const [latches, invites] = [twin.latches.length, twin.invites.length];
          for (const index of inOrderOfCommit(acts)) {
            const one = acts[index] as Act;
            const outcome = told[index];
            if (outcome === undefined || "injected" in outcome) continue;
            const pick = usesLatch(one) ? one.pick % Math.max(1, latches) : one.pick;
            const fixed = { ...one, pick, other: one.kind === "enrol" ? one.other % Math.max(1, invites) : one.other };
            assert.deepEqual(await twin.take(fixed), outcome, one.kind);
          }
        }
        const [log, wanted] = [await tried.log(), await twin.log()];
        for (const [index, body] of wanted.entries()) assert.equal(log[index], body);
        assert.equal(log.length, wanted.length);
      },
    ),
    { numRuns: full ? 80 : 8, endOnFailure: !full },
  );
});

/** What operators ask goes before all that waits. */
function inOrderOfCommit(acts: readonly Act[]): number[] {
  const isOperators = (index: number) => ["machine", "one-latch", "policy", "grant"].includes(acts[index]?.kind ?? "");
  const all = [...acts.keys()];
  return [...all.filter(isOperators), ...all.filter((index) => !isOperators(index))];
}

function usesLatch({ kind }: Act): boolean {
  return kind === "release" || kind === "one-latch";
}

test("a full disk does not swallow the first refusal", async () => {
  await using side = await new Side().open([
    ...Array<Fault>(4).fill({ at: 0, kind: "none" }),
    { at: 1000, kind: "full" },
    { at: 0, kind: "none" },
  ]);
  await side.take({ ...HOUSE, kind: "invite" });
  await side.take({ ...HOUSE, kind: "enrol", nonce: Buffer.alloc(16, 1) });
  await side.take({ ...HOUSE, kind: "machine", change: "lock" });
  const release: Act = { ...HOUSE, kind: "release" };
  assert.deepEqual(await side.take(release), { injected: true });
  assert.deepEqual(await side.take(release), { told: "machine/locked" });
  assert.ok((await side.log()).some((body) => body.includes('"kind":"refusal"')));
});
