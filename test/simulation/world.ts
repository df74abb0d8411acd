/** A server, its machines, those who govern them, and those who steal them. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { isError } from "../../src/core/errors.ts";
import { verifyLog } from "../../src/server/audit/verify.ts";
import { openAuditSource } from "../../src/server/store/sqlite/audit-source.ts";
import { Chance, seedCrypto } from "./chance.ts";
import { SimulatedDisk } from "./disk.ts";
import type { Fault } from "./faults.ts";
import { type KnownLatch, SimulatedMachine } from "./machine.ts";
import { SimulatedNeighbour } from "./neighbour.ts";
import { type Answer, type Host, type Request, SimulatedNetwork } from "./network.ts";
import { SimulatedOperator } from "./operator.ts";
import { Oracle } from "./oracle.ts";
import { SimulatedServer } from "./server.ts";
import { SimulatedSite } from "./site.ts";
import { SimulatedThief } from "./thief.ts";
import { SimulatedTime } from "./time.ts";
import { Violation } from "./violation.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
const MOST_OVERHEARD = 200;

/** What a simulation is to be. */
export interface Scale {
  readonly seed: number;
  readonly machines: number;
  readonly days: number;
  /** How many times as much happens in a day; 1 where it is absent. */
  readonly haste?: number;
  /** For how long machines under `alive` may be silent. */
  readonly timeoutsMs: readonly number[];
  /** How many machines stand together at a site; none do where it is absent. */
  readonly perSite?: number;
  readonly fault?: Fault;
}

/** What came of it. */
export interface Outcome {
  readonly seed: number;
  /** SHA-256 of all that happened, and of the log. */
  readonly digest: string;
  readonly machineYears: number;
  readonly requests: number;
  /** Those that counted. */
  readonly heartbeats: number;
  readonly releases: number;
  readonly crashes: number;
  readonly violation: Violation | null;
}

/** Runs a world from its beginning to its end, or to the first violation. */
export async function simulate(scale: Scale): Promise<Outcome> {
  const chance = new Chance(`world ${scale.seed}`);
  using _crypto = seedCrypto(chance.named("keys"), scale.fault?.crypto);
  using time = new SimulatedTime(Date.UTC(2027, 0, 1));
  await using world = new World(time, chance, scale);
  return await world.run();
}

export class World implements AsyncDisposable {
  readonly time: SimulatedTime;
  readonly #chance: Chance;
  readonly #scale: Scale;
  readonly #disk: SimulatedDisk;
  readonly server: SimulatedServer;
  readonly oracle: Oracle;
  readonly #network: SimulatedNetwork;
  readonly operator: SimulatedOperator;
  readonly machines: SimulatedMachine[] = [];
  readonly #sites: SimulatedSite[] = [];
  /** Requests for a window that somebody has listened to. */
  readonly captured: { readonly machine: SimulatedMachine; readonly body: Buffer }[] = [];
  /** The same of heartbeats, and of requests for a session. */
  readonly overheard: { readonly path: string; readonly body: Buffer; readonly from: Host }[] = [];
  /** Until when a disk that was in trouble may still show in what the server does. */
  #recoveringMs = 0;
  #isBroken = false;
  readonly #tempted: Chance;
  readonly #rash: Chance;
  readonly #thief: SimulatedThief;
  readonly #neighbour: SimulatedNeighbour;
  readonly #digest = createHash("sha256");
  #violation: Violation | null = null;
  #failure: unknown = null;
  #requests = 0;
  #crashes = 0;
  /** What the main loop has to do before anything else. */
  #chores: (() => Promise<void>)[] = [];

  constructor(time: SimulatedTime, chance: Chance, scale: Scale) {
    this.time = time;
    this.#chance = chance;
    this.#tempted = chance.named("tempted");
    this.#rash = chance.named("rash");
    this.#scale = scale;
    this.oracle = new Oracle(time, () => this.#isExcused());
    this.#disk = new SimulatedDisk(chance.named("disk"), () => this.#ended(), scale.fault?.disk);
    this.server = new SimulatedServer(time, this.#disk, chance.named("server"), scale.fault ?? null);
    const observer = { arrived: (from: Host, request: Request) => this.#observe(from, request) };
    const { address } = scale.fault ?? {};
    this.#network = new SimulatedNetwork(time, chance.named("network"), this.server, observer, address);
    this.#thief = new SimulatedThief(this, chance.named("thief"), { address: "198.51.100.66", isCut: false });
    const elsewhere = { address: "192.0.2.254", isCut: false };
    this.#neighbour = new SimulatedNeighbour(this, chance.named("neighbour"), elsewhere);
    this.operator = new SimulatedOperator(this, chance.named("operator"));
    for (let number = 0; number < scale.machines; number++) {
      const host = { address: `192.0.2.${1 + (number % 250)}`, isCut: false };
      const site = this.#siteOf(number);
      const machine = new SimulatedMachine(this, chance.named(`machine ${number}`), `m${number}`, host, site);
      site?.machines.push(machine);
      this.machines.push(machine);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.end();
    this.oracle.closed();
    await this.server.bury();
    this.#disk[Symbol.dispose]();
  }

  /** Half of the machines stand at sites, where there are such; of a small world all but one. */
  #siteOf(number: number): SimulatedSite | null {
    const { perSite = 0, machines } = this.#scale;
    const most = machines < 10 ? machines - 1 : machines / 2;
    if (perSite === 0 || number >= most) return null;
    const at = Math.floor(number / perSite);
    this.#sites[at] ??= new SimulatedSite(this, this.#chance.named(`site ${at}`), `s${at}`);
    return this.#sites[at];
  }

  /** The longest that anybody waits who asks again and again. */
  get patienceMs(): number {
    return (20 * MINUTE_MS) / (this.#scale.haste ?? 1);
  }

  get timeoutsMs(): readonly number[] {
    return this.#scale.timeoutsMs;
  }

  /** How long until something happens again that does every `meanMs` where nobody is in haste. */
  waitMs(chance: Chance, meanMs: number): number {
    return chance.waitMs(meanMs / (this.#scale.haste ?? 1));
  }

  /** What happened, for the digest. */
  trace(line: string): void {
    this.#digest.update(`${this.time.trueMs} ${line}\n`);
  }

  /** Whatever an actor throws ends the simulation. */
  readonly fail = (error: unknown): void => {
    if (error instanceof Violation) this.#violation ??= error;
    else this.#failure ??= error ?? new Error("something failed");
  };

  get isDiskInTrouble(): boolean {
    return this.#disk.isFull || this.#disk.isFailing || this.#isBroken;
  }

  #isExcused(): boolean {
    if (this.isDiskInTrouble || this.server.isHeldUp) this.#recoveringMs = this.time.trueMs + 3 * MINUTE_MS;
    return this.time.trueMs < this.#recoveringMs || this.server.life?.isAlive !== true;
  }

  /** Somebody has listened to this. */
  overhear(sent: { readonly path: string; readonly body: Buffer; readonly from: Host }): void {
    this.overheard.push(sent);
    if (this.overheard.length > MOST_OVERHEARD) this.overheard.shift();
  }

  /** Somebody has kept a heartbeat back, and may send it himself. */
  keep(kept: { readonly path: string; readonly body: Buffer }): void {
    void this.#thief.send(kept).catch(this.fail);
  }

  /** Somebody cuts the server's power. */
  cutServer(): void {
    this.#disk.crashWithin(0, "power");
  }

  /** A machine is off, maybe since somebody has taken it. */
  goneFor(machine: SimulatedMachine, awayMs: number): void {
    // He may have cut the server's power too.
    if (this.#tempted.happens(0.2)) this.time.at(this.#tempted.below(awayMs), () => this.cutServer());
    void this.#thief.carryOff(machine, awayMs).catch(this.fail);
  }

  /** Somebody comes for a machine, or does not. */
  lurk(machineId: string): void {
    void this.#thief.lurk(machineId).catch(this.fail);
  }

  async run(): Promise<Outcome> {
    this.#disk.revive();
    await this.#start();
    this.#begin();
    const endMs = this.#scale.days * DAY_MS;
    while (this.#violation === null && this.#failure === null) {
      for (const chore of this.#chores.splice(0)) await chore();
      if (!(await this.time.step(endMs))) break;
      if (this.server.defects.length > 0) this.fail(new Violation("defect", this.server.defects.join("\n")));
    }
    if (this.#failure !== null) throw this.#failure;
    if (this.#violation === null) await this.#finish();
    if (this.#failure !== null) throw this.#failure;
    return {
      seed: this.#scale.seed,
      digest: this.#digest.digest("hex"),
      machineYears: (this.#scale.machines * this.time.trueMs) / YEAR_MS,
      requests: this.#requests,
      heartbeats: this.oracle.door.counted,
      releases: this.oracle.releases,
      crashes: this.#crashes,
      violation: this.#violation,
    };
  }

  #begin(): void {
    const lives = [
      ...this.machines.map((machine) => machine.live()),
      this.operator.live(),
      this.operator.watch(),
      this.operator.attend(),
      this.#thief.live(),
      this.#neighbour.live(),
      this.#weather(this.#chance.named("weather")),
      this.#clockmaker(this.#chance.named("clockmaker")),
      this.#cuts(this.#chance.named("cuts")),
      ...this.#sites.flatMap((site) => [site.live(), site.tend()]),
    ];
    for (const life of lives) void life.catch(this.fail);
  }

  /** An operator locks what is being answered. */
  #stopWhileAnswered(latchId: string): void {
    const machine = this.machines.find(({ latches }) => latches.some((latch) => latch.latchId === latchId));
    if (machine === undefined || machine.isRevoked) return;
    this.time.at(this.#rash.below(60), () => {
      const awayMs = this.#rash.waitMs(2 * MINUTE_MS);
      void this.operator.stop(machine, `machines/${machine.id}`, machine.id, awayMs).catch(this.fail);
    });
  }

  ask(from: Host, request: Request): Promise<Answer | null> {
    return this.#network.ask(from, request);
  }

  #observe(from: Host, request: Request): (answer: Answer) => void {
    this.#requests++;
    const [, kind] = request.path.split("/");
    this.trace(`${from.address} asks ${kind} ${request.body.length}`);
    const wanted = /^\/latch\/([^/]+)\/rec\//.exec(request.path)?.[1];
    if (wanted !== undefined && this.#rash.happens(0.02)) this.#stopWhileAnswered(wanted);
    try {
      const judge = this.oracle.arrived(from.address, request);
      return (answer) => {
        this.trace(`${from.address} is told ${answer.status} ${answer.body.length}`);
        const asked = /^\/machine\/([^/]+)\/lease$/.exec(request.path)?.[1];
        if (asked !== undefined && request.method === "POST") this.#tempt(asked);
        try {
          judge(answer);
        } catch (error) {
          this.fail(error);
        }
      };
    } catch (error) {
      this.fail(error);
      return () => {};
    }
  }

  /** Whether nothing stands between this latch and its key but what is lost on the way. */
  mayBeReleased(machine: SimulatedMachine, { latchId }: KnownLatch): boolean {
    if (machine.host.isCut || this.isDiskInTrouble || this.server.life === null) return false;
    const latch = this.oracle.ledger.latches.get(latchId);
    if (this.server.isHeldUp) return false;
    return latch !== undefined && this.oracle.isOpen(latch, machine.host.address);
  }

  /** The server's process has ended, in the middle of something. */
  #ended(): void {
    this.#crashes++;
    this.trace("the server ends");
    this.server.end();
    this.#chores.push(async () => {
      this.oracle.closed();
      await this.server.bury();
      await this.#startAgain(this.#chance.named(`restart ${this.#crashes}`));
    });
  }

  async #startAgain(chance: Chance): Promise<void> {
    const waitMs = chance.between(1000, chance.happens(0.8) ? 30_000 : HOUR_MS);
    if (chance.happens(0.15)) this.#setAside(chance, waitMs);
    this.time.at(waitMs, () => this.#chores.push(() => this.#start()));
  }

  /** Its clock is another when it comes up, and for a while. */
  #setAside(chance: Chance, waitMs: number): void {
    const farMs = chance.pick([HOUR_MS, DAY_MS, 20 * YEAR_MS]);
    this.time.at(waitMs - 1, () => this.#setClock(Math.round(chance.between(-farMs, farMs))));
    this.time.at(waitMs + chance.between(MINUTE_MS, 2 * HOUR_MS), () => this.#setClock(0));
  }

  async #start(): Promise<void> {
    if (this.server.life !== null) return;
    this.#disk.revive();
    const isUp = await this.#turn(this.server.start());
    if (isUp) this.#tempt(null);
    this.trace(isUp ? "the server starts" : "the server does not start");
    if (!isUp) return this.#startAgain(this.#chance.named(`again ${this.time.trueMs}`));
    try {
      this.oracle.opened(join(this.#disk.folder, "store.sqlite"));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Turns the event loop until something is done that takes no time. */
  async #turn<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const end = () => {
      isDone = true;
    };
    void work.then(end, end);
    while (!isDone) await this.time.settle();
    return work;
  }

  /** Crashes, power cuts, restarts, and disks that are full or fail. */
  async #weather(chance: Chance): Promise<void> {
    for (;;) {
      await this.time.sleep(this.waitMs(chance, 4 * DAY_MS));
      if (this.server.life === null) continue;
      const what = chance.share();
      if (what < 0.55) this.#disk.crashWithin(chance.happens(0.2) ? 0 : 12, chance.happens(0.5) ? "kill" : "power");
      else if (what < 0.7) await this.#restart(chance);
      else if (what < 0.78) await this.#holdUp(chance);
      else if (what < 0.9) {
        this.#disk.fill(chance.happens(0.5) ? 0 : chance.below(64 << 10));
        for (const { id } of this.machines) this.lurk(id);
        await this.time.sleep(chance.between(MINUTE_MS, HOUR_MS));
        this.#disk.fill(null);
      } else {
        // A store whose sync has failed is written to no more, until a restart.
        this.#isBroken = true;
        this.#disk.failSync();
        await this.time.sleep(chance.between(MINUTE_MS, 20 * MINUTE_MS));
        await this.#restart(chance);
        this.#isBroken = false;
      }
    }
  }

  /** Its process is stopped, or its machine sleeps. */
  async #holdUp(chance: Chance): Promise<void> {
    const sinceMs = this.time.trueMs;
    this.trace("the server stands still");
    this.oracle.standsStill();
    const goOn = this.server.holdUp();
    await this.time.sleep(chance.between(1000, chance.happens(0.5) ? MINUTE_MS : HOUR_MS));
    this.oracle.vigils.serverHeldUp(sinceMs, this.time.trueMs);
    goOn();
    this.trace("the server goes on");
  }

  async #restart(chance: Chance): Promise<void> {
    const stopped = Promise.withResolvers<void>();
    this.#chores.push(async () => {
      this.oracle.closed();
      await this.#stop();
      stopped.resolve();
    });
    await stopped.promise;
    await this.#startAgain(chance);
  }

  /** The server's last writes may be cut short too. */
  async #stop(): Promise<void> {
    const stopping = this.server.stop().catch(() => {});
    let isDone = false;
    void stopping.then(() => {
      isDone = true;
    });
    while (!isDone && this.server.life !== null && this.server.life.isAlive) {
      await this.time.settle();
      if (!isDone && !(await this.time.step(Number.POSITIVE_INFINITY))) break;
    }
    // A process that has ended meanwhile does not come to its end.
    if (isDone || this.server.life?.isAlive === true) await stopping;
  }

  /** The server's clock is set, a little or by years, and right again after a while. */
  async #clockmaker(chance: Chance): Promise<void> {
    for (;;) {
      await this.time.sleep(this.waitMs(chance, 6 * DAY_MS));
      const farMs = chance.happens(0.3) ? chance.pick([HOUR_MS, DAY_MS, 20 * YEAR_MS]) : 30_000;
      this.#setClock(Math.round(chance.between(-farMs, farMs)));
      await this.time.sleep(chance.between(MINUTE_MS, 2 * HOUR_MS));
      this.#setClock(0);
    }
  }

  /**
   * While a window is open thieves come and clocks go wrong, more often than by chance. After a
   * start, when the server has not heard anybody yet, they come for what is off.
   */
  #tempt(machineId: string | null): void {
    if (machineId === null) {
      for (const machine of this.machines) if (!machine.isUp) this.lurk(machine.id);
      return;
    }
    this.lurk(machineId);
    if (!this.#tempted.happens(0.05)) return;
    this.time.at(this.#tempted.below(60_000), () => this.#setClock(-this.#tempted.pick([30_000, HOUR_MS, DAY_MS])));
    this.time.at(10 * MINUTE_MS, () => this.#setClock(0));
  }

  #setClock(offsetMs: number): void {
    this.time.offsetMs = offsetMs;
    this.oracle.clockSet(offsetMs);
    this.trace(`the clock is ${offsetMs} ahead`);
  }

  /** Cables that are pulled and put back. */
  async #cuts(chance: Chance): Promise<void> {
    for (;;) {
      await this.time.sleep(this.waitMs(chance, (4 * DAY_MS) / this.machines.length));
      const { host } = chance.pick(this.machines);
      host.isCut = true;
      this.time.at(chance.between(1000, HOUR_MS), () => {
        host.isCut = false;
      });
    }
  }

  /** At the end the whole log is verified, and is part of the digest. */
  async #finish(): Promise<void> {
    this.oracle.closed();
    await this.#stop();
    using source = openAuditSource(join(this.#disk.folder, "store.sqlite"));
    try {
      await verifyLog(source, null);
    } catch (error) {
      return this.fail(isError(error, "audit/broken") ? new Violation("log", error.message) : error);
    }
    for (let from = 0; ; ) {
      const page = await source.entries(from);
      if (page.length === 0) return;
      for (const { body } of page) this.#digest.update(body);
      from += page.length;
    }
  }
}
