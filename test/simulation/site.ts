/**
 * A place where machines stand together: its power and its network fail, and an operator tends it.
 */
import type { Chance } from "./chance.ts";
import type { SimulatedMachine } from "./machine.ts";
import type { World } from "./world.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** How fast machines are let in. */
const RATES = [
  { count: 1, perMs: MINUTE_MS },
  { count: 60, perMs: MINUTE_MS },
  { count: 7, perMs: HOUR_MS },
  { count: 2, perMs: 1000 },
];

export class SimulatedSite {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #invites: Chance;
  readonly name: string;
  /** For how long a machine of it may be silent. */
  readonly timeoutMs: number;
  readonly machines: SimulatedMachine[] = [];
  #isMade = false;
  #isThere = false;

  constructor(world: World, chance: Chance, name: string) {
    this.#world = world;
    this.#chance = chance;
    this.#invites = chance.named("invites");
    this.name = name;
    this.timeoutMs = chance.pick(world.timeoutsMs);
  }

  /** Its group, for an invite; null where nobody can be invited there yet, or is not. */
  invitedInto(): string | null {
    return this.#isThere && this.#invites.happens(0.5) ? this.name : null;
  }

  /** Puts a machine that was just enrolled into it. */
  async receive(machine: SimulatedMachine): Promise<void> {
    const { operator } = this.#world;
    if (!this.#isMade) {
      this.#isMade = true;
      await operator.order([], "groups", { name: this.name });
      this.#isThere = true;
    }
    for (let attempt = 0; attempt < 5; attempt++) {
      const { status } = await operator.order([machine], `machines/${machine.id}/join`, { group: this.name });
      if (status === 200) return;
      await this.#world.time.sleep(MINUTE_MS); // the group is not there yet
    }
  }

  /** Power and network, until the simulation ends. */
  async live(): Promise<void> {
    const { time } = this.#world;
    for (;;) {
      await time.sleep(this.#world.waitMs(this.#chance, 4 * DAY_MS));
      const longMs = this.#chance.pick([HOUR_MS, 3 * this.timeoutMs, 3 * this.timeoutMs]);
      const outMs = this.#chance.between(MINUTE_MS, longMs);
      const what = this.#chance.share();
      const out = this.machines.filter(() => what < 0.6 || this.#chance.happens(0.8));
      this.#world.trace(`${this.name} is cut off for ${outMs}`);
      for (const { host } of out) host.isCut = true;
      if (what < 0.8) {
        for (const machine of out) machine.cutPower(outMs + this.#chance.between(1000, MINUTE_MS));
        if (what < 0.6) this.#world.oracle.sites.cut(this.name);
      }
      await time.sleep(outMs);
      for (const { host } of out) host.isCut = false;
    }
  }

  /** What its operator does, until the simulation ends. */
  async tend(): Promise<void> {
    for (;;) {
      await this.#world.time.sleep(this.#world.waitMs(this.#chance, 4 * HOUR_MS));
      const state = this.#world.oracle.ledger.sites.all.get(this.name)?.state ?? "free";
      // He sees that it is held. Sometimes he holds it himself, also while it is open.
      if (this.#chance.happens(0.05)) await this.#say("hold", "");
      else if (state === "held") {
        const openMs = this.#chance.pick([20 * MINUTE_MS, HOUR_MS, DAY_MS]);
        await this.#say("release", { ...this.#chance.pick(RATES), openMs });
        // The outage that it was held for is not always over.
        if (this.#chance.happens(0.3)) this.#world.time.at(this.#chance.below(openMs), () => this.#world.cutServer());
      }
    }
  }

  async #say(verb: "hold" | "release", body: unknown): Promise<void> {
    const { status } = await this.#world.operator.order(this.machines, `groups/${this.name}/${verb}`, body);
    if (status === 200 && verb === "release") for (const { id } of this.machines) this.#world.lurk(id);
  }
}
