/** Operators, who govern, and approve of what machines ask for. */
import type { Chance } from "./chance.ts";
import type { SimulatedMachine } from "./machine.ts";
import type { OperatorsAnswer } from "./server.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** The user ids of those who approve. */
const OPERATORS = [1001, 1002, 1003];

/** Whoever administers the server, at its own door. */
export class SimulatedOperator {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #bounds: Chance;

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
    this.#bounds = chance.named("bounds");
  }

  /** Lives until the simulation ends. */
  async live(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#world.waitMs(this.#chance, DAY_MS / 2));
      const machine = this.#chance.pick(this.#world.machines);
      if (machine.id === "" || machine.isRevoked || machine.latches.length === 0) continue;
      await this.#act(machine);
    }
  }

  /**
   * Looks after machines that wait for a key that nothing but a window gives them, and those that
   * run and are locked for their silence.
   */
  async watch(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#chance.waitMs(3 * HOUR_MS));
      for (const machine of this.#world.machines) {
        const { isGone = false } = this.#world.oracle.ledger.machines.get(machine.id) ?? {};
        if (machine.isWaiting || (machine.isUp && isGone)) await this.#help(machine);
      }
    }
  }

  async #act(machine: SimulatedMachine): Promise<void> {
    const latch = this.#chance.pick(machine.latches).latchId;
    const what = this.#chance.share();
    const whileMs = this.#chance.waitMs(3 * HOUR_MS);
    if (what < 0.3) await this.stop(machine, `machines/${machine.id}`, machine.id, whileMs);
    else if (what < 0.45) await this.stop(machine, `latches/${latch}`, latch, whileMs);
    else if (what < 0.7) await this.govern(machine);
    else if (what < 0.95) await this.#grant(machine);
    else await this.#revoke(machine);
  }

  /** After a while it is installed anew. */
  async #revoke(machine: SimulatedMachine): Promise<void> {
    const { id } = machine;
    await this.change(machine, `machines/${id}`, id, "revoke");
    this.#world.time.at(this.#world.waitMs(this.#chance, DAY_MS), () => machine.giveUp(id));
  }

  /** Locks a machine or a latch, and unlocks it later. */
  async stop(machine: SimulatedMachine, path: string, subject: string, whileMs: number): Promise<void> {
    await this.change(machine, path, subject, "lock");
    this.#world.time.at(whileMs, () => {
      void this.change(machine, path, subject, "unlock").catch(this.#world.fail);
    });
  }

  /** Says what must hold for a machine, until the server has heard it. */
  async govern(machine: SimulatedMachine): Promise<void> {
    const what = this.#chance.share();
    const isAlive = machine.site === null ? what >= 0.48 && what < 0.8 : what < 0.75;
    const policy = isAlive ? "alive" : what < 0.36 ? "lease" : what < 0.48 ? "always" : "approval";
    const path = `machines/${machine.id}/policy`;
    if (policy === "alive") return this.#watchOver(machine, path);
    const timeoutMs = this.#chance.pick([5 * MINUTE_MS, HOUR_MS, DAY_MS]);
    const terms = policy === "approval" ? { of: 1 + this.#chance.below(2), timeoutMs } : {};
    const answer = await this.#insist(machine, "", "policy", path, { policy, ...terms, ...this.#limits() });
    if (answer.status !== 200) return;
    // What it sends counts for nothing under such a policy, but for the end of a boot's window.
    if (this.#chance.happens(0.5)) machine.sender.stop();
    else if (machine.isUp) machine.sender.start(machine);
  }

  /** Every fourth machine is released so often in a day at most. */
  #limits(): { readonly perDay: string } {
    return { perDay: this.#bounds.happens(0.25) ? this.#bounds.pick(["2", "3", "6"]) : "any" };
  }

  /** A machine is put under `alive` once it is heard. */
  async #watchOver(machine: SimulatedMachine, path: string): Promise<void> {
    machine.sender.isAwaited = true;
    machine.sender.stop(); // what has nothing to say for hours is heard anew
    if (machine.isUp) machine.sender.start(machine);
    const timeoutMs = machine.site?.timeoutMs ?? this.#chance.pick(this.#world.timeoutsMs);
    const terms = { policy: "alive", timeoutMs, ...this.#limits() };
    for (let attempt = 0; attempt < 5; attempt++) {
      await this.#world.time.sleep(20_000);
      const answer = await this.#insist(machine, "", "policy", path, terms);
      if (answer.body["error"] !== "alive/not-heard") break;
    }
    machine.sender.isAwaited = false;
  }

  /** Does what it takes to have a machine that waits come up, and what he finds right. */
  async #help(machine: SimulatedMachine): Promise<void> {
    const known = this.#world.oracle.ledger.machines.get(machine.id);
    if (known?.policy === "lease") return this.#grant(machine);
    if (known?.policy === "approval") {
      const named = `${machine.name}@${machine.host.address}`;
      for (const by of this.#someOperators(known.of)) await this.#vote(machine, by, "approve", named);
    }
    if (known?.isGone === true) await this.change(machine, `machines/${machine.id}`, machine.id, "unlock");
  }

  #someOperators(count: number): number[] {
    const first = this.#chance.below(OPERATORS.length);
    return Array.from({ length: count }, (_, index) => OPERATORS[(first + index) % OPERATORS.length] ?? 0);
  }

  /** Looks at what waits, now and then, and says yes, no or nothing. */
  async attend(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#chance.waitMs(30 * MINUTE_MS));
      const { ledger } = this.#world.oracle;
      if (![...ledger.machines.values()].some((machine) => ledger.requests.count(machine) > 0)) continue;
      const answer = await this.#world.server.operate("GET", "requests");
      const waiting = (answer?.body["requests"] ?? []) as { id: string; machine: string; from: string }[];
      for (const { id, machine: name, from } of waiting) {
        const machine = this.#world.machines.find((one) => one.name === name);
        if (machine === undefined) continue;
        const isRight = machine.isWaiting && machine.host.address === from;
        const what = this.#chance.share();
        if (what < 0.2) continue; // he is slow
        // Sometimes he is wrong, or is deceived.
        const verb = isRight === what > 0.27 ? "approve" : "deny";
        await this.#vote(machine, this.#chance.pick(OPERATORS), verb, id);
      }
    }
  }

  async #vote(machine: SimulatedMachine, by: number, verb: string, named: string): Promise<void> {
    this.#world.oracle.says(by, verb, named.includes("@") ? machine.id : named);
    await this.#insist(machine, "", verb, `requests/${named}/${verb}`, "", by);
  }

  async #grant(machine: SimulatedMachine): Promise<void> {
    const lifetimeMs = this.#chance.pick([5 * 60_000, HOUR_MS, DAY_MS]);
    const graceMs = this.#chance.pick([0, 60_000, 600_000]);
    await this.#insist(machine, "", "lease", `machines/${machine.id}/lease`, { lifetimeMs, graceMs });
  }

  /** Gives an order that is about several machines, or about none, until it is answered. */
  async order(
    machines: readonly SimulatedMachine[],
    path: string,
    body: unknown,
  ): Promise<NonNullable<OperatorsAnswer>> {
    const { time, server, oracle } = this.#world;
    for (let attempt = 0; ; attempt++) {
      const ended = machines.map(({ id }) => oracle.changing(id, "", path));
      const answer = await server.operate("POST", path, body);
      this.#world.trace(`operator ${path} ${answer?.status ?? "-"} ${answer?.body["error"] ?? ""}`);
      for (const end of ended) end(answer?.status === 200);
      if (answer !== null && answer.status !== 503) return answer;
      if (answer !== null && attempt > 40 && !this.#world.isDiskInTrouble)
        throw new Violation("liveness", `${path} fails again and again: ${answer.body["error"]}`);
      await time.sleep(20_000);
    }
  }

  async change(machine: SimulatedMachine, path: string, subject: string, change: string): Promise<void> {
    await this.#insist(machine, subject, change, `${path}/${change}`, "");
  }

  /** Asks until the server has said yes or no. */
  async #insist(
    machine: SimulatedMachine,
    subject: string,
    change: string,
    path: string,
    body: unknown,
    by = 0,
  ): Promise<NonNullable<OperatorsAnswer>> {
    const { time, server, oracle } = this.#world;
    for (let attempt = 0; ; attempt++) {
      const ended = oracle.changing(machine.id, subject, change);
      const answer = await server.operate("POST", path, body, by);
      this.#world.trace(`operator ${machine.name} ${change} ${answer?.status ?? "-"} ${answer?.body["error"] ?? ""}`);
      ended(answer?.status === 200);
      if (answer !== null && answer.status !== 503) return answer;
      if (answer !== null && attempt > 40 && !this.#world.isDiskInTrouble)
        throw new Violation("liveness", `an operator's ${change} fails again and again: ${answer.body["error"]}`);
      await time.sleep(20_000);
    }
  }

  /** Invites a machine, again where there was an invite. */
  async invite(name: string, group: string | null): Promise<string> {
    const body = { name, lifetimeMs: HOUR_MS, ...(group === null ? {} : { group }) };
    for (;;) {
      const answer = await this.#world.server.operate("POST", "invites", body);
      this.#world.trace(`operator invites ${name} ${answer?.status ?? "-"}`);
      if (answer?.status === 200) return String(answer.body["invite"]);
      await this.#world.time.sleep(20_000);
    }
  }
}
