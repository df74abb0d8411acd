/** Operators, who govern, and thieves, who do not. */
import type { Chance } from "./chance.ts";
import { askForKey, type SimulatedMachine, signLease } from "./machine.ts";
import type { Host } from "./network.ts";
import { Violation } from "./oracle.ts";
import type { World } from "./world.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Whoever administers the server, at its own door. */
export class SimulatedOperator {
  readonly #world: World;
  readonly #chance: Chance;

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
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

  /** Looks after machines that wait for a key that nothing but a window gives them. */
  async watch(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#chance.waitMs(3 * HOUR_MS));
      for (const machine of this.#world.machines) {
        if (machine.isWaiting) await this.#grant(machine);
      }
    }
  }

  async #act(machine: SimulatedMachine): Promise<void> {
    const latch = this.#chance.pick(machine.latches).latchId;
    const what = this.#chance.share();
    if (what < 0.3) await this.#stopForAWhile(machine, `machines/${machine.id}`, machine.id);
    else if (what < 0.45) await this.#stopForAWhile(machine, `latches/${latch}`, latch);
    else if (what < 0.7) await this.govern(machine);
    else if (what < 0.95) await this.#grant(machine);
    else await this.change(machine, `machines/${machine.id}`, machine.id, "revoke");
  }

  async #stopForAWhile(machine: SimulatedMachine, path: string, subject: string): Promise<void> {
    await this.change(machine, path, subject, "lock");
    this.#world.time.at(this.#chance.waitMs(8 * HOUR_MS), () => {
      void this.change(machine, path, subject, "unlock").catch(this.#world.fail);
    });
  }

  /** Says what must hold for a machine, until the server has heard it. */
  async govern(machine: SimulatedMachine): Promise<void> {
    const policy = this.#chance.happens(0.7) ? "lease" : "always";
    await this.#insist(machine, "", "policy", `machines/${machine.id}/policy`, { policy });
  }

  async #grant(machine: SimulatedMachine): Promise<void> {
    const lifetimeMs = this.#chance.pick([5 * 60_000, HOUR_MS, DAY_MS]);
    const graceMs = this.#chance.pick([0, 60_000, 600_000]);
    await this.#insist(machine, "", "lease", `machines/${machine.id}/lease`, { lifetimeMs, graceMs });
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
  ): Promise<void> {
    const { time, server, oracle } = this.#world;
    for (let attempt = 0; ; attempt++) {
      const ended = oracle.changing(machine.id, subject, change);
      const answer = await server.operate("POST", path, body);
      this.#world.trace(`operator ${machine.name} ${change} ${answer?.status ?? "-"} ${answer?.body["error"] ?? ""}`);
      ended(answer?.status === 200);
      if (answer !== null && answer.status !== 503) return;
      if (answer !== null && attempt > 40 && !this.#world.isDiskInTrouble)
        throw new Violation("liveness", `an operator's ${change} fails again and again: ${answer.body["error"]}`);
      await time.sleep(20_000);
    }
  }

  /** Invites a machine, again where there was an invite. */
  async invite(name: string): Promise<string> {
    for (;;) {
      const answer = await this.#world.server.operate("POST", "invites", { name, lifetimeMs: HOUR_MS });
      this.#world.trace(`operator invites ${name} ${answer?.status ?? "-"}`);
      if (answer?.status === 200) return String(answer.body["invite"]);
      await this.#world.time.sleep(20_000);
    }
  }
}

/** Has copied disks, has listened to the network, and asks from where it likes. */
export class SimulatedThief {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #host: Host;

  constructor(world: World, chance: Chance, host: Host) {
    this.#world = world;
    this.#chance = chance;
    this.#host = host;
  }

  /** Lives until the simulation ends. */
  async live(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#world.waitMs(this.#chance, 2 * DAY_MS));
      const victim = this.#chance.pick(this.#world.machines);
      if (victim.latches.length === 0) continue;
      // Some are in the same house, and come from its address.
      const host = this.#chance.happens(0.4) ? { ...victim.host } : this.#host;
      const what = this.#chance.share();
      if (what < 0.6) await this.#ask(victim, host, 1 + this.#chance.below(5));
      else if (what < 0.63) await this.#ask(victim, host, 140);
      else if (what < 0.9) await this.#replay(host);
      else await this.#pretend(victim, host);
    }
  }

  /** A window was opened for this machine: somebody who listens comes while it is open. */
  async lurk(machineId: string): Promise<void> {
    const victim = this.#world.machines.find(({ id }) => id === machineId);
    if (victim === undefined || victim.latches.length === 0 || !this.#chance.happens(0.3)) return;
    await this.#world.time.sleep(this.#chance.between(1000, 1_200_000));
    await this.#ask(victim, this.#chance.happens(0.5) ? { ...victim.host } : this.#host, 3);
  }

  async #ask(victim: SimulatedMachine, host: Host, times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      await askForKey(this.#world, host, this.#chance.pick(victim.latches));
      await this.#world.time.sleep(this.#chance.below(times > 100 ? 500 : 60_000));
    }
  }

  /** Sends what a machine has sent, and asks for its key at once. */
  async #replay(host: Host): Promise<void> {
    const { captured } = this.#world;
    if (captured.length === 0) return;
    const { machine, body } = this.#chance.happens(0.5)
      ? this.#chance.pick(captured.slice(-3))
      : this.#chance.pick(captured);
    await this.#world.ask(host, { method: "POST", path: `/machine/${machine.id}/lease`, body });
    if (machine.latches.length > 0) await this.#ask(machine, host, 2);
  }

  /** With the identity of the machine, which lies on the disk that it has opened somehow. */
  async #pretend(victim: SimulatedMachine, host: Host): Promise<void> {
    const body = await signLease(this.#world, victim, host, { seconds: 1800, graceSeconds: 600 });
    if (body === null) return;
    await this.#world.ask(host, { method: "POST", path: `/machine/${victim.id}/lease`, body });
    await this.#ask(victim, host, 3);
  }
}
