/** Thieves, who have copied what they could, and ask for the rest. */
import { isError } from "../../src/core/errors.ts";
import { beginSession, sendHeartbeat } from "../../src/pins/latch/session.ts";
import type { Chance } from "./chance.ts";
import { askForKey, type SimulatedMachine, signLease } from "./machine.ts";
import type { Host } from "./network.ts";
import { isHeartbeat, serverOf, sessionPower } from "./sender.ts";
import type { World } from "./world.ts";

const DAY_MS = 86_400_000;
const LIMITS = { timeoutMs: 10_000 };

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
      if (what < 0.5) await this.#ask(victim, host, 1 + this.#chance.below(5));
      else if (what < 0.53) await this.#ask(victim, host, 140);
      else if (what < 0.57) await this.#crowd(victim);
      else if (what < 0.72) await this.#replay(host);
      else if (what < 0.8) await this.#replayHeartbeat(host);
      else if (what < 0.84) await this.#forgeHeartbeat();
      else if (what < 0.92) await this.#live(victim, host);
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

  /** He has the machine itself, or it was off while he copied its disk. */
  async carryOff(victim: SimulatedMachine, awayMs: number): Promise<void> {
    const known = this.#world.oracle.ledger.machines.get(victim.id);
    const what = this.#chance.share();
    const isAlive = known?.policy === "alive";
    if (isAlive && what < 0.4) return this.#outlast(victim, known.timeoutMs, awayMs);
    if (what < (isAlive ? 0.9 : 0.5)) return this.#keepAsking(victim, known?.timeoutMs ?? 0, awayMs);
    for (let count = 0; count < 4; count++) {
      await this.#world.time.sleep(this.#chance.between(1000, awayMs / 2));
      const host = this.#chance.happens(0.5) ? { ...victim.host, isCut: false } : this.#host;
      if (this.#chance.happens(0.2)) await this.#replayHeartbeat(host);
      if (victim.latches.length > 0) await this.#ask(victim, host, 2);
    }
  }

  /** Whoever asks again and again, until the machine's time would be over, gains nothing by it. */
  async #keepAsking(victim: SimulatedMachine, timeoutMs: number, awayMs: number): Promise<void> {
    const { time } = this.#world;
    const untilMs = time.trueMs + awayMs;
    await time.sleep(Math.max(0, Math.min(awayMs, timeoutMs) - this.#chance.below(1_200_000)));
    for (let count = 0; count < 12 && time.trueMs < untilMs; count++) {
      await this.#ask(victim, this.#host, 1);
      await time.sleep(this.#chance.between(60_000, 780_000));
    }
  }

  /**
   * Cuts the server's power while it still waits for the machine. It forgives the machine its
   * silence then, for it has not listened: so he asks after the time at which it would be locked.
   */
  async #outlast(victim: SimulatedMachine, timeoutMs: number, awayMs: number): Promise<void> {
    const { time } = this.#world;
    const sinceMs = time.trueMs;
    await time.sleep(timeoutMs * this.#chance.between(0.3, 0.9));
    this.#world.cutServer();
    for (let count = 0; count < 6 && time.trueMs < sinceMs + awayMs; count++) {
      await time.sleep(Math.max(1000, sinceMs + timeoutMs * this.#chance.between(0.9, 1.9) - time.trueMs));
      await this.#ask(victim, this.#chance.happens(0.5) ? { ...victim.host, isCut: false } : this.#host, 1);
    }
  }

  /** Asks from so many addresses that operators see nothing else. */
  async #crowd(victim: SimulatedMachine): Promise<void> {
    for (let count = 0; count < 20; count++)
      await askForKey(
        this.#world,
        { address: `203.0.${113 + count}.7`, isCut: false },
        this.#chance.pick(victim.latches),
      );
  }

  /** Sends a heartbeat that he has listened to or kept back, as it was or changed. */
  async #replayHeartbeat(host: Host): Promise<void> {
    const { overheard } = this.#world;
    if (overheard.length === 0) return;
    const asked = overheard.filter(({ path }) => !isHeartbeat(path));
    const recent = this.#chance.happens(0.7) ? overheard.slice(-5) : overheard;
    const sent = this.#chance.pick(asked.length > 0 && this.#chance.happens(0.4) ? asked.slice(-8) : recent);
    const from = this.#chance.happens(0.3) ? { ...sent.from, isCut: false } : host;
    const body = Buffer.from(sent.body);
    // Neither of the two is to be taken for the other, or twice.
    const path = isHeartbeat(sent.path) ? this.#chance.pick(["/alive", "/alive/lease"]) : sent.path;
    if (isHeartbeat(path) && this.#chance.happens(0.4)) {
      body.writeUInt32BE(body.readUInt32BE(8) + 1 + this.#chance.below(50), 8);
      if (this.#chance.happens(0.5)) this.#chance.bytes(32).copy(body, 12);
    }
    await this.#world.ask(from, { method: "POST", path, body });
  }

  /** Sends at once what he has kept back, from where he is. */
  async send({ path, body }: { readonly path: string; readonly body: Buffer }): Promise<void> {
    if (this.#chance.happens(0.5)) await this.#world.ask(this.#host, { method: "POST", path, body });
  }

  /** Makes the next heartbeat of a session that he has listened to, without its key. */
  async #forgeHeartbeat(): Promise<void> {
    const sent = this.#world.overheard.findLast(({ path }) => isHeartbeat(path));
    if (sent === undefined) return;
    const body = Buffer.from(sent.body);
    body.writeUInt32BE(body.readUInt32BE(8) + 1 + this.#chance.below(50), 8);
    this.#chance.bytes(32).copy(body, 12);
    const path = this.#chance.pick(["/alive", "/alive/lease"]);
    await this.#world.ask({ ...sent.from, isCut: false }, { method: "POST", path, body });
  }

  /** With the identity of the machine: shows that it is alive, from where he is. */
  async #live(victim: SimulatedMachine, host: Host): Promise<void> {
    const sending = { ...victim, host, id: victim.id, identity: victim.identity };
    const power = sessionPower(this.#world, sending, this.#chance);
    try {
      const session = await beginSession(power, "/", serverOf(sending), LIMITS);
      for (let count = 0; count < 3; count++) {
        await sendHeartbeat(power, serverOf(sending), session, LIMITS);
        await this.#world.time.sleep(this.#chance.below(600_000));
        await this.#ask(victim, host, 1);
      }
    } catch (error) {
      if (!isError(error)) throw error; // he was refused
    }
  }
}
