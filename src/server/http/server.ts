import { createServer, type Server, Socket, type SocketConstructorOpts } from "node:net";
import type { Http1RequestHead } from "../../formats/network/http1-request.ts";
import { descriptorLimit, prepareConnections } from "../../system/tcp-listen.ts";
import { descriptorOf } from "../../system/unix/descriptor.ts";
import { type Clock, every, once } from "../clock.ts";
import { Admission } from "./admission.ts";
import type { Answers } from "./answers.ts";
import { Arrivals } from "./arrivals.ts";
import { Budget } from "./budget.ts";
import { Connection, type Hall, type OnRead, type Wire } from "./connection.ts";
import { FairQueue } from "./fair-queue.ts";
import { type Limits, limitsWithin, type Patience } from "./limits.ts";
import { Places } from "./places.ts";
import type { Plan, Reply } from "./reply.ts";
import { Turn } from "./turn.ts";

/**
 * What the kernel keeps for each connection, in each direction. It is more than any request or
 * answer of an honest client.
 */
const KERNEL_BYTES = 16_384;

/** What a server serves. */
export interface Application {
  /** A connection was accepted: a request may follow. */
  expect(): void;
  /** Judges a request by its head: gives the answer, or what the body is for. */
  judge(head: Http1RequestHead): Reply | Plan;
}

/** Serves an application to strangers, none of whom can keep the others or an operator out. */
export class StrangerServer implements Hall {
  readonly #application: Application;
  readonly #limits: Limits;
  readonly #connections = new Set<Connection>();
  readonly #admission: Admission;
  readonly #arrivals: Arrivals;
  /** Whose input waits for a turn with time left. */
  readonly #deferred = new FairQueue<Connection>();
  #isWorking = false;
  #closed: PromiseWithResolvers<void> | null = null;
  /** What listens; `listen` and its failures are the caller's. */
  readonly net: Server;
  readonly places: Places<Connection>;
  readonly budget: Budget<Connection>;
  readonly turn: Turn;
  readonly answers: Answers;
  readonly clock: Clock;

  constructor(application: Application, answers: Answers, clock: Clock, limits: Partial<Limits>) {
    this.clock = clock;
    this.#application = application;
    this.#limits = { ...limitsWithin(descriptorLimit()), ...limits };
    this.answers = answers;
    this.#admission = new Admission(this.#limits);
    this.#arrivals = new Arrivals(clock, this.#limits.arrivals, ({ fd }) => this.admit(wireOf({ fd })));
    this.places = new Places(this.#limits);
    this.budget = new Budget(this.#limits.memoryBytes);
    this.turn = new Turn(clock, this.#limits.turnMs);
    this.net = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.net.on("listening", () => this.#begin());
  }

  /** Whether strangers wait for others' operations to end. */
  get isPressed(): boolean {
    return this.#admission.isPressed;
  }

  get patience(): Patience {
    return this.#limits;
  }

  get isClosing(): boolean {
    return this.#closed !== null;
  }

  judge(head: Http1RequestHead): Reply | Plan {
    return this.#application.judge(head);
  }

  serve(connection: Connection, plan: Plan, body: Buffer): void {
    this.#admission.enter({
      network: connection.network,
      start: () => this.#work(connection, plan, body),
      refuse: () => connection.refuseForNow(),
    });
  }

  /** Until what it gives is disposed of, an operator waits, and strangers stand back. */
  giveWay(): Disposable {
    return this.#admission.giveWay();
  }

  /** What is known at once is answered at once: a promise costs as much as a heartbeat does. */
  #work(connection: Connection, plan: Plan, body: Buffer): void {
    const reply = plan.perform(body, connection.address);
    if (reply instanceof Promise) void reply.then((later) => this.#finish(connection, later));
    else this.#finish(connection, reply);
  }

  #finish(connection: Connection, reply: Reply): void {
    connection.answer(reply);
    this.#admission.leave();
  }

  defer(connection: Connection): void {
    this.#deferred.push(connection.network, connection);
    if (this.#isWorking) return;
    this.#isWorking = true;
    setImmediate(() => this.#goOn());
  }

  /** Those whose input was put off, as far as this turn goes. */
  #goOn(): void {
    const deadlineMs = this.clock.monotonicMs() + this.#limits.turnMs;
    for (let count = this.#deferred.length; count > 0; count--) {
      this.#deferred.shift()?.goOn();
      if (this.clock.monotonicMs() >= deadlineMs) break;
    }
    this.#isWorking = this.#deferred.length > 0;
    if (this.#isWorking) setImmediate(() => this.#goOn());
  }

  left(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#closed?.resolve();
  }

  #begin(): void {
    const fd = descriptorOf(this.net);
    if (fd !== null) prepareConnections(fd, KERNEL_BYTES);
    const checks = every(this.clock, this.#limits.checkMs, () => this.#checkTimes());
    this.net.once("close", () => checks[Symbol.dispose]());
  }

  /** Node's own socket has no way to say how much is read at once; ours takes its handle over. */
  #accept(socket: Socket & { _handle?: unknown }): void {
    const handle = socket._handle;
    socket._handle = null;
    socket.destroy();
    this.admit(wireOf({ handle }));
    const fd = descriptorOf(this.net);
    if (fd !== null) this.#arrivals.gather(fd);
  }

  /** Takes a connection that was accepted. @param open as Connection takes it */
  admit(open: (onread: OnRead) => Wire): void {
    this.#application.expect();
    const connection = new Connection(this, open, this.clock.monotonicMs());
    this.#connections.add(connection);
    const room = this.places.makeRoom(connection.network);
    if (room === "full") {
      connection.cut();
      return;
    }
    room?.cut();
    connection.enter();
  }

  #checkTimes(): void {
    const nowMs = this.clock.monotonicMs();
    for (const connection of this.#connections) connection.checkTime(nowMs);
  }

  /** Ends what is idle, answers what was asked, and cuts what is left after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (!this.net.listening) return;
    const stopped = new Promise((resolve) => this.net.close(resolve));
    this.#closed = Promise.withResolvers();
    this.#arrivals.close();
    for (const connection of this.#connections) if (connection.isIdle) connection.cut();
    if (this.#connections.size === 0) this.#closed.resolve();
    using _ = once(this.clock, graceMs, () => {
      for (const connection of this.#connections) connection.cut();
    });
    await Promise.all([stopped, this.#closed.promise]);
  }
}

/**
 * Opens the stream of a connection.
 * @param source what `net.Socket` makes a socket of: a descriptor, or the handle that Node has of
 *   one
 */
export function wireOf(source: { readonly fd: number } | { readonly handle: unknown }): (onread: OnRead) => Wire {
  // The types know a handle of another kind only.
  return (onread) => new Socket({ ...source, allowHalfOpen: true, onread } as SocketConstructorOpts);
}
