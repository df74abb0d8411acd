/** The real server, but for its sockets: its doors are calls, its clock and its disk simulated. */
import { NightlatchError } from "../../src/core/errors.ts";
import { BatchExchange } from "../../src/server/exchange/batch.ts";
import { chooseExchange } from "../../src/server/exchange/choose.ts";
import { jobsIn } from "../../src/server/exchange/jobs.ts";
import type { ExchangeThread } from "../../src/server/exchange/port.ts";
import { startHousekeeping } from "../../src/server/housekeeping.ts";
import { Answers } from "../../src/server/http/answers.ts";
import type { StrangerServer } from "../../src/server/http/server.ts";
import { createMachineServer } from "../../src/server/machine-api/server.ts";
import { administer } from "../../src/server/operator-api/routes.ts";
import { resumePulses, watchPulses } from "../../src/server/service/alive/alive.ts";
import { resumeSites } from "../../src/server/service/alive/site-holds.ts";
import { assembleService } from "../../src/server/service/assemble.ts";
import { resumeDays } from "../../src/server/service/days.ts";
import type { Service } from "../../src/server/service/service.ts";
import { type OpenedStore, openFolder } from "../../src/server/store/folder/folder.ts";
import type { Store, Transaction } from "../../src/server/store/port.ts";
import type { Chance } from "./chance.ts";
import { Crash, type SimulatedDisk } from "./disk.ts";
import type { Fault } from "./faults.ts";
import { Looks } from "./looks.ts";
import type { SimulatedTime } from "./time.ts";

const UID = process.geteuid?.() ?? 0;

/** From a start of the server's process to its end. */
export interface Life {
  isAlive: boolean;
  readonly service: Service;
  readonly machines: StrangerServer;
  readonly answers: Answers;
  readonly opened: OpenedStore;
  readonly looks: Looks;
  readonly stopWatch: () => Promise<void>;
  readonly stopHousekeeping: () => Promise<void>;
}

/** What an operator was told; null where the server ended before. */
export type OperatorsAnswer = { readonly status: number; readonly body: Record<string, unknown> } | null;

export class SimulatedServer {
  readonly #time: SimulatedTime;
  readonly #disk: SimulatedDisk;
  readonly #chance: Chance;
  readonly #fault: Fault | null;
  life: Life | null = null;
  /** Failures that are none of the disk's: a defect. */
  readonly defects: string[] = [];
  /** What it does at its start takes no time: nothing else happens before. */
  #isStarting = false;
  /** Its process stands still: it was stopped, or its machine sleeps. */
  #held: Promise<void> | null = null;

  constructor(time: SimulatedTime, disk: SimulatedDisk, chance: Chance, fault: Fault | null) {
    this.#time = time;
    this.#disk = disk;
    this.#chance = chance;
    this.#fault = fault;
  }

  get isHeldUp(): boolean {
    return this.#held !== null;
  }

  /** Has the process stand still until what it gives is called. */
  holdUp(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    const { life } = this;
    life?.looks.hold();
    return () => {
      this.#held = null;
      if (life?.isAlive) life.looks.goOn();
      resolve();
    };
  }

  /** Starts it. False where the disk does not let it, or the process ended meanwhile. */
  async start(): Promise<boolean> {
    const random = (lengthBytes: number) => this.#chance.bytes(lengthBytes);
    let opened: OpenedStore;
    try {
      const system = this.#disk.system(() => this.#time.wallMs, random);
      opened = await openFolder(system, this.#disk.folder, { uid: UID });
    } catch (error) {
      if (error instanceof Crash) return false;
      if (error instanceof NightlatchError && this.#isExcused(error)) return false;
      throw error;
    }
    const life = { isAlive: true } as { -readonly [Name in keyof Life]: Life[Name] };
    const sleep = this.#time.sleepWhile(() => life.isAlive);
    const exchange = new BatchExchange(chooseExchange(), async () => this.#thread(life), { fewest: 1 });
    const service = assembleService(
      {
        nowMs: () => this.#time.wallMs,
        monotonicMs: () => this.#time.trueMs,
        sleep: async (delayMs, signal) => {
          await sleep(delayMs, signal);
          if (this.#held !== null) await this.#held;
        },
        random,
      },
      { ...opened, store: through(opened.store, () => this.#dawdle(), this.#fault) as OpenedStore["store"] },
      this.#fault?.exchange?.(exchange) ?? exchange,
    );
    life.service = this.#fault?.service?.(service) ?? service;
    life.opened = opened;
    life.answers = new Answers(life.service.system);
    const report = (error: unknown) => this.#report(life, error);
    life.machines = createMachineServer(life.service, life.answers, report, { turnMs: 10, connections: 4096 });
    exchange.askPressed(() => true); // each release goes its way over the thread
    life.machines.net.emit("listening"); // it looks for late connections from now on
    life.looks = new Looks(this.#time, service, () => life.isAlive);
    const { system } = service;
    life.stopWatch = watchPulses({ ...life.service, system: { ...system, sleep: life.looks.sleep } }, report);
    life.stopHousekeeping = startHousekeeping(life.service, report);
    this.life = life;
    this.#isStarting = true;
    try {
      await resumeSites(life.service);
      await resumePulses(life.service);
      await resumeDays(life.service);
    } catch (error) {
      this.end();
      await this.bury();
      if (error instanceof Crash) return false;
      throw error;
    } finally {
      this.#isStarting = false;
    }
    return true;
  }

  /** A thread that takes its time. What it does for a process that has ended nobody hears of. */
  #thread(life: Life): ExchangeThread {
    const exchange = chooseExchange();
    return {
      multiplyAll: async (memory) => {
        await this.#time.sleep(this.#chance.below(this.#chance.happens(0.2) ? 3000 : 30));
        if (!life.isAlive) throw new Crash();
        for (const { scalar, point } of jobsIn(memory)) exchange.multiply(scalar, point).copy(point);
        return memory;
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async #dawdle(): Promise<void> {
    if (!this.#isStarting && this.#chance.happens(0.2)) await this.#time.sleep(this.#chance.below(20));
  }

  #isExcused({ code }: NightlatchError): boolean {
    return this.#disk.isFull && (code === "store/full" || code === "file/full");
  }

  #report(life: Life, error: unknown): void {
    if (!life.isAlive || error instanceof Crash) return;
    if (error instanceof NightlatchError && /^(store|file)\/(full|io)$/.test(error.code)) return;
    this.defects.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  /** The process has ended: nothing of it does anything any more. */
  end(): void {
    if (this.life !== null) this.life.isAlive = false;
  }

  /** Puts away what an ended process had open. */
  async bury(): Promise<void> {
    const life = this.life;
    this.life = null;
    await life?.opened.store.close().catch(() => {});
  }

  /** Stops it as a signal would. */
  async stop(): Promise<void> {
    const life = this.life;
    if (life === null || !life.isAlive) return;
    await life.stopWatch();
    await life.stopHousekeeping();
    if (this.life !== life || !life.isAlive) return;
    this.end();
    this.life = null;
    await life.opened.store.close();
  }

  /** An operator's request, at the operators' door. Null where the server ended before that. */
  async operate(method: "GET" | "POST", path: string, body: unknown = "", uid: number = 0): Promise<OperatorsAnswer> {
    const life = this.life;
    if (this.#held !== null) await this.#held;
    if (life === null || !life.isAlive) return null;
    this.#time.stir();
    const { service, answers, machines } = life;
    const context = { service, answers, masterSource: "file", url: () => "http://keys.example" } as const;
    const bytes = Buffer.from(body === "" ? "" : JSON.stringify(body));
    using _ = method === "POST" ? machines.giveWay() : null;
    try {
      const request = { method, segments: path.split("/"), body: bytes, role: "admin", uid } as const;
      const reply = await administer(context, request);
      return life.isAlive ? { status: reply.status, body: JSON.parse(String(reply.body)) } : null;
    } catch (error) {
      if (!life.isAlive || error instanceof Crash) return null;
      if (!(error instanceof NightlatchError)) throw error;
      return { status: error.code.startsWith("store/") ? 503 : 409, body: { error: error.code } };
    }
  }
}

/** A store that waits before and after a transaction, one after the other, with the fault in it. */
function through(store: OpenedStore["store"], wait: () => Promise<void>, fault: Fault | null): Store {
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const outcome = last.then(work);
    last = outcome.catch(() => {});
    return outcome;
  };
  const planted = (transaction: Transaction) => fault?.transaction?.(transaction) ?? transaction;
  return {
    transact: (work) =>
      alone(async () => {
        await wait();
        const result = await store.transact((transaction) => work(planted(transaction)));
        await wait();
        return result;
      }),
    scrub: () => store.scrub(),
    get needsScrub() {
      return store.needsScrub;
    },
    get owes() {
      return store.owes;
    },
    recordProgress: () => store.recordProgress(),
    makeRoom: () => store.makeRoom(),
    holdRoom: () => store.holdRoom(),
    audit: store.audit,
    close: () => store.close(),
  };
}
