/**
 * Random histories of a server, crashes among them, against a model that is simple enough to be
 * right.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { keepHouse } from "../../../../src/server/housekeeping.ts";
import type { State } from "../../../../src/server/policy/decide.ts";
import type { Policy } from "../../../../src/server/policy/lease.ts";
import { grantLease, setPolicy } from "../../../../src/server/service/policies/policies.ts";
import { changeLatch, changeMachine, type StateChange } from "../../../../src/server/service/policies/states.ts";
import { storePath } from "../../../../src/server/store/folder/paths.ts";
import { openAuditSource } from "../../../../src/server/store/sqlite/audit-source.ts";
import {
  addLatchTo,
  announce,
  ask,
  enrolWith,
  type Home,
  makeHome,
  makeInvite,
  newMachine,
  type OpenService,
  openService,
  type TestLatch,
  type TestMachine,
} from "../../../support/server/harness.ts";

const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

interface ModelMachine {
  readonly machine: TestMachine;
  /** Null until it has enrolled. */
  name: string | null;
  state: State;
  policy: Policy;
  /** Whether an operator gave it its policy; false while it has what is said of new machines. */
  isItsOwn: boolean;
  /** The window that is open, or was before its time came. */
  lease: { readonly untilMs: number; readonly isOperators: boolean } | null;
  readonly latches: ModelLatch[];
}

interface ModelLatch {
  readonly latch: TestLatch;
  readonly nonce: Buffer;
  state: State;
  readonly owner: ModelMachine;
  /** When it was released in the owner's lease; null where it was not. */
  usedMs: number | null;
}

interface ModelInvite {
  readonly line: string;
  readonly name: string;
  readonly expiresMs: number;
  state: "open" | "void" | "used";
  usedBy: ModelMachine | null;
}

const NAMES = ["nas", "pi", "vps"];
const INVITE_MS = 600_000;
const [LEASE_MS, GRACE_MS] = [360_000, 60_000];
const NEXT: Readonly<Record<StateChange, State>> = { lock: "locked", unlock: "active", revoke: "revoked" };

/** `pick` chooses among whatever there is at that moment. */
const pick = fc.nat(1000);
const change = fc.constantFrom<StateChange>("lock", "unlock", "revoke");
const policy = fc.constantFrom("always" as const, "lease" as const, "lease" as const, "inherit" as const);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("invite" as const), pick }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("enrol" as const), pick, invite: pick, again: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("latch" as const), pick, again: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("machine" as const), pick, change }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("one-latch" as const), pick, change }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("release" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("crash" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("policy" as const), pick, policy }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("grant" as const), pick }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("announce" as const), pick, seconds: fc.constantFrom(0, 400) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("house" as const), pick }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class World implements AsyncDisposable {
  readonly #home: Home = makeHome();
  readonly #machines: ModelMachine[] = Array.from({ length: 4 }, () => ({
    machine: newMachine(),
    name: null,
    state: "active",
    policy: "always",
    isItsOwn: false,
    lease: null,
    latches: [],
  }));
  readonly #latches: ModelLatch[] = [];
  readonly #invites: ModelInvite[] = [];
  #folder = this.#home.folder;
  #crashes = 0;
  #nowMs = Date.now();
  #service: OpenService | null = null;

  async open(): Promise<void> {
    this.#service = await openService(this.#folder);
    this.#service.clock.nowMs = this.#nowMs;
  }

  get service(): OpenService {
    assert.ok(this.#service !== null);
    return this.#service;
  }

  async take(next: Step): Promise<void> {
    switch (next.kind) {
      case "invite":
        return this.#invite(NAMES[next.pick % NAMES.length] ?? "");
      case "enrol":
        return this.#enrol(next);
      case "latch":
        return this.#addLatch(next);
      case "machine":
        return this.#changeMachine(next);
      case "one-latch":
        return this.#changeLatch(next);
      case "release":
        return this.#release(next.pick);
      case "crash":
        return this.#crash();
      case "restart":
        await this.service[Symbol.asyncDispose]();
        return this.open();
      case "wait":
        this.#nowMs += next.pick % 2 === 0 ? INVITE_MS / 2 : GRACE_MS / 2;
        this.service.clock.nowMs = this.#nowMs;
        return;
      case "policy":
        return this.#setPolicy(next);
      case "grant":
        return this.#grant(next.pick);
      case "announce":
        return this.#announce(next);
      case "house":
        return keepHouse(this.service);
    }
  }

  async #setPolicy({ pick, policy: wanted }: Extract<Step, { kind: "policy" }>): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length] as ModelMachine;
    const changing = async () => setPolicy(this.service, owner.machine.id, { policy: wanted, by: 0 });
    if (owner.name === null) return void (await assert.rejects(changing, { code: "machine/unknown" }));
    if (owner.state === "revoked") return void (await assert.rejects(changing, { code: "machine/revoked" }));
    // Nothing is said of new machines here, so that whatever inherits is released always.
    const [held, isItsOwn] = wanted === "inherit" ? (["always", false] as const) : [wanted, true];
    const { changed } = await changing();
    assert.equal(changed, owner.policy !== held || owner.isItsOwn !== isItsOwn);
    if (owner.policy !== held) this.#open(owner, null);
    Object.assign(owner, { policy: held, isItsOwn });
  }

  async #grant(pick: number): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length] as ModelMachine;
    const granting = async () =>
      grantLease(this.service, owner.machine.id, { lifetimeMs: LEASE_MS, graceMs: GRACE_MS, by: 0 });
    if (owner.name === null) return void (await assert.rejects(granting, { code: "machine/unknown" }));
    if (owner.state !== "active") return void (await assert.rejects(granting, { code: `machine/${owner.state}` }));
    if (owner.policy === "always") return void (await assert.rejects(granting, { code: "lease/not-needed" }));
    await granting();
    this.#open(owner, { untilMs: this.#nowMs + LEASE_MS, isOperators: true });
  }

  async #announce({ pick, seconds }: Extract<Step, { kind: "announce" }>): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length] as ModelMachine;
    const told = await announce(this.service, owner.machine, { seconds, graceSeconds: GRACE_MS / 1000 });
    if (owner.name === null) return assert.equal(told, "machine/unknown");
    if (owner.state !== "active") return assert.equal(told, `machine/${owner.state}`);
    if (owner.policy === "always") return assert.deepEqual(told, { isNeeded: false, seconds: 0 });
    const { lease } = owner;
    const operators = lease?.isOperators && lease.untilMs > this.#nowMs ? lease : null;
    const untilMs = seconds === 0 ? 0 : this.#nowMs + seconds * 1000;
    if (operators !== null && untilMs <= operators.untilMs) this.#open(owner, { ...operators });
    else this.#open(owner, seconds === 0 ? null : { untilMs, isOperators: false });
    const left = owner.lease === null ? 0 : Math.floor((owner.lease.untilMs - this.#nowMs) / 1000);
    assert.deepEqual(told, { isNeeded: true, seconds: left });
  }

  /** Another window, or none: what was released in the one before says nothing of it. */
  #open(owner: ModelMachine, lease: ModelMachine["lease"]): void {
    owner.lease = lease;
    for (const latch of owner.latches) latch.usedMs = null;
  }

  async #invite(name: string): Promise<void> {
    const making = makeInvite(this.service, name, INVITE_MS);
    if (this.#machines.some((machine) => machine.name === name && machine.state !== "revoked")) {
      await assert.rejects(making, { code: "machine/exists" });
      return;
    }
    for (const earlier of this.#invites) if (earlier.name === name && earlier.state === "open") earlier.state = "void";
    this.#invites.push({ line: await making, name, expiresMs: this.#nowMs + INVITE_MS, state: "open", usedBy: null });
  }

  async #enrol({ pick, invite: choice, again }: Extract<Step, { kind: "enrol" }>): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length];
    const invite = this.#invites[choice % Math.max(1, this.#invites.length)];
    if (owner === undefined || invite === undefined) return;
    const earlier = again ? owner.latches[pick % Math.max(1, owner.latches.length)] : undefined;
    const nonce = earlier?.nonce ?? randomBytes(16);
    const outcome = await enrolWith(this.service, owner.machine, invite.line, nonce);
    if (invite.state === "used") {
      const mine = invite.usedBy === owner;
      this.#expectLatch(owner, earlier, outcome, mine ? null : "invite/used", nonce);
    } else if (invite.state === "void" || this.#nowMs >= invite.expiresMs) {
      assert.equal(outcome, "invite/expired");
    } else if (owner.name !== null && owner.name !== invite.name && owner.state !== "revoked") {
      assert.equal(outcome, "invite/other-machine");
    } else {
      const wasNew = owner.name === null;
      owner.name ??= invite.name;
      const latch = this.#expectLatch(owner, earlier, outcome, null, nonce);
      if (latch !== null) {
        invite.state = "used";
        invite.usedBy = owner;
      } else if (wasNew) owner.name = null;
    }
  }

  async #addLatch({ pick, again }: Extract<Step, { kind: "latch" }>): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length];
    if (owner === undefined) return;
    const earlier = again ? owner.latches[pick % Math.max(1, owner.latches.length)] : undefined;
    const nonce = earlier?.nonce ?? randomBytes(16);
    const outcome = await addLatchTo(this.service, owner.machine, nonce);
    this.#expectLatch(owner, earlier, outcome, owner.name === null ? "machine/unknown" : null, nonce);
  }

  /**
   * Expects the latch that is given: the same for the same nonce, a new one for a new nonce, and
   * none for a machine that is locked.
   */
  #expectLatch(
    owner: ModelMachine,
    earlier: ModelLatch | undefined,
    outcome: TestLatch | string,
    refusal: string | null,
    nonce: Buffer = Buffer.alloc(0),
  ): ModelLatch | null {
    const refused = owner.state === "active" ? null : `machine/${owner.state}`;
    const expected = refusal ?? refused ?? (earlier?.state === "revoked" ? "latch/revoked" : null);
    if (expected !== null) {
      assert.equal(outcome, expected);
      return null;
    }
    assert.ok(typeof outcome === "object", String(outcome));
    assert.equal(outcome.name, owner.name);
    if (earlier !== undefined) {
      assert.deepEqual(outcome, earlier.latch);
      return earlier;
    }
    assert.ok(this.#latches.every(({ latch }) => latch.latchId !== outcome.latchId));
    const latch: ModelLatch = { latch: outcome, nonce, state: "active", owner, usedMs: null };
    this.#latches.push(latch);
    owner.latches.push(latch);
    return latch;
  }

  async #changeMachine({ pick, change: wanted }: Extract<Step, { kind: "machine" }>): Promise<void> {
    const owner = this.#machines[pick % this.#machines.length];
    if (owner === undefined) return;
    const changing = async () => changeMachine(this.service, owner.machine.id, { by: 0, change: wanted });
    if (owner.name === null) {
      await assert.rejects(changing, { code: "machine/unknown" });
    } else if (owner.state === "revoked" && wanted !== "revoke") {
      await assert.rejects(changing, { code: "machine/revoked" });
    } else {
      const keys = wanted === "revoke" ? await this.#wrappedKeys(owner.latches) : [];
      const done = await changing();
      assert.equal(done.changed, owner.state !== NEXT[wanted]);
      owner.state = NEXT[wanted];
      if (owner.state !== "active") this.#open(owner, null);
      if (wanted === "revoke") for (const latch of owner.latches) latch.state = "revoked";
      this.#expectGone(keys);
    }
  }

  async #changeLatch({ pick, change: wanted }: Extract<Step, { kind: "one-latch" }>): Promise<void> {
    const latch = this.#latches[pick % Math.max(1, this.#latches.length)];
    if (latch === undefined) return;
    const changing = async () => changeLatch(this.service, latch.latch.latchId, { by: 0, change: wanted });
    if (latch.state === "revoked" && wanted !== "revoke") {
      await assert.rejects(changing, { code: "machine/revoked" });
      return;
    }
    const keys = wanted === "revoke" ? await this.#wrappedKeys([latch]) : [];
    assert.equal((await changing()).changed, latch.state !== NEXT[wanted]);
    latch.state = NEXT[wanted];
    this.#expectGone(keys);
  }

  async #release(choice: number): Promise<void> {
    const latch = this.#latches[choice % Math.max(1, this.#latches.length)];
    if (latch === undefined) return;
    const outcome = await ask(this.service, latch.latch);
    const states = [latch.state, latch.owner.state];
    const expected = states.includes("revoked")
      ? "latch/revoked"
      : states.includes("locked")
        ? "machine/locked"
        : this.#byPolicy(latch);
    const told = outcome.kind === "refused" ? outcome.reason : outcome.kind;
    if (expected === "over") assert.ok(["policy/lease-over", "policy/no-lease"].includes(told), told);
    else assert.equal(told, expected);
  }

  /** What the policy answers to an active latch, always asked from one address. */
  #byPolicy(latch: ModelLatch): string {
    const { policy: held, lease } = latch.owner;
    if (held === "always") return "released";
    if (lease === null) return "policy/no-lease";
    // Whether a lease that is over was ended already is the housekeeping's to say.
    if (this.#nowMs >= lease.untilMs) return "over";
    if (latch.usedMs !== null && this.#nowMs >= latch.usedMs + GRACE_MS) return "policy/lease-used";
    latch.usedMs ??= this.#nowMs;
    return "released";
  }

  /** As after kill -9: what lies in the files now is all there is. */
  async #crash(): Promise<void> {
    const next = join(this.#home.path, `crash-${this.#crashes++}`);
    mkdirSync(next, { mode: 0o700 });
    for (const name of ["store.sqlite", "store.sqlite-wal", "master.key", "cells"]) {
      const from = join(this.#folder, name);
      if (existsSync(from)) copyFileSync(from, join(next, name));
    }
    copyFileSync(`${this.#folder}.id`, `${next}.id`);
    await this.service[Symbol.asyncDispose]();
    this.#folder = next;
    await this.open();
  }

  async #wrappedKeys(latches: readonly ModelLatch[]): Promise<Buffer[]> {
    return this.service.store.transact(async (transaction) => {
      const rows = await Promise.all(latches.map(({ latch }) => transaction.keys(latch.latchId)));
      return rows.flat().map(({ wrapped }) => wrapped);
    });
  }

  /** Acknowledged: the bytes are in none of the store's files. */
  #expectGone(keys: readonly Buffer[]): void {
    expectGone(this.#folder, keys);
  }

  /** At the end the log tells exactly what the model knows. */
  async finish(): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    this.#service = null;
    using source = openAuditSource(storePath(this.#folder));
    await verifyLog(source, null);
    const { machines, latches } = source.snapshot;
    assert.deepEqual(
      new Map(machines.map(({ id, name, state }) => [id, `${name} ${state}`])),
      new Map(this.#machines.filter(({ name }) => name !== null).map((m) => [m.machine.id, `${m.name} ${m.state}`])),
    );
    assert.deepEqual(
      new Map(latches.map(({ id, machine, state }) => [id, `${machine} ${state}`])),
      new Map(this.#latches.map(({ latch, owner, state }) => [latch.latchId, `${owner.machine.id} ${state}`])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service?.[Symbol.asyncDispose]();
    this.#home[Symbol.dispose]();
  }
}

function expectGone(folder: string, keys: readonly Buffer[]): void {
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    for (const key of keys) assert.ok(!bytes.includes(key), `${name} still holds a destroyed key`);
  }
}

test("any history leads where the model says", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: full ? 150 : 40, size: "max" }), async (steps) => {
      await using world = new World();
      await world.open();
      for (const next of steps) await world.take(next);
      await world.finish();
    }),
    { numRuns: full ? 300 : 12, endOnFailure: !full },
  );
});

test("keys that were destroyed are in none of the files, wherever they lay among others", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const machines = full ? 12 : 4;
  const latches: TestLatch[] = [];
  for (let count = 0; count < machines; count++) {
    const machine = newMachine();
    latches.push((await enrolWith(service, machine, await makeInvite(service, `m${count}`))) as TestLatch);
    const more = Array.from({ length: 40 }, () => addLatchTo(service, machine));
    latches.push(...((await Promise.all(more)) as TestLatch[]));
  }
  const order = latches.map((latch) => ({ latch, at: randomBytes(4).readUInt32LE() })).sort((a, b) => a.at - b.at);
  const destroyed: Buffer[] = [];
  for (const { latch } of order.slice(0, Math.floor(order.length / 2))) {
    const keys = await service.store.transact((transaction) => transaction.keys(latch.latchId));
    assert.equal(keys.length, 2);
    for (const { wrapped } of keys) assert.ok(readStore(home.folder).some((file) => file.includes(wrapped)));
    const done = await changeLatch(service, latch.latchId, { by: 0, change: "revoke" });
    assert.ok(done.scrubbed);
    destroyed.push(...keys.map(({ wrapped }) => wrapped));
    expectGone(home.folder, destroyed);
  }
});

function readStore(folder: string): Buffer[] {
  return readdirSync(folder).map((name) => readFileSync(join(folder, name)));
}
