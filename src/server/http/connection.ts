import type { Socket } from "node:net";
import { Http1BodyReader, type Http1RequestHead } from "../../formats/network/http1-request.ts";
import type { Clock } from "../clock.ts";
import { type Network, networkOf, plainAddress } from "../network.ts";
import type { Answers } from "./answers.ts";
import type { Budget } from "./budget.ts";
import { HeadReader } from "./head-reader.ts";
import type { Patience } from "./limits.ts";
import type { Place, Places } from "./places.ts";
import { empty, formatReply, type Plan, type Reply } from "./reply.ts";
import type { Turn } from "./turn.ts";

/** What all connections of a server share. */
export interface Hall {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly patience: Patience;
  readonly places: Places<Connection>;
  readonly budget: Budget<Connection>;
  readonly turn: Turn;
  readonly answers: Answers;
  /** True once the server ends: each connection is then closed after its answer. */
  readonly isClosing: boolean;
  /**
   * Judges a request by its head, before anything of its body is read. Gives the answer, or what
   * the body is for.
   */
  judge(head: Http1RequestHead): Reply | Plan;
  /** Answers a complete request. Nothing more is read before it has its answer. */
  serve(connection: Connection, plan: Plan, body: Buffer): void;
  /**
   * Input is there that has had its share of this turn: `goOn` is called when it is its turn again.
   */
  defer(connection: Connection): void;
  /** The connection has ended. */
  left(connection: Connection): void;
}

/**
 * Every connection reads into this, one at a time, and copies what stays. It is small, so that none
 * has much of a turn.
 */
const READ_BYTES = 4096;
const INPUT = Buffer.allocUnsafeSlow(READ_BYTES);
const NONE = Buffer.alloc(0);

const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/**
 * A client that is still sending would lose the answer to a reset. So it is read on, for so long
 * and so much.
 */
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 << 20;
/**
 * A client that goes on in the last moment that it was told must not find the connection closed.
 */
const KEPT_LONGER_MS = 2_000;
/** For how long an answer that is not read keeps its connection. */
const UNREAD_MS = 10_000;

/** A stream to a client, as a connection needs it. Node's sockets are such. */
export type Wire = Pick<Socket, "on" | "write" | "resume" | "end" | "destroy" | "writableLength" | "remoteAddress">;

/**
 * Where what a client sends is put, and who is told of it: `onread` of net.Socket. Where it answers
 * false, nothing more is read until `resume`.
 */
export interface OnRead {
  readonly buffer: Buffer;
  readonly callback: (lengthBytes: number) => boolean;
}

/**
 * `head` and `body`: a request is read. `busy`: it waits for its answer. `leaving`: the answer
 * waits for its client. `lingering`: what still comes is dropped.
 */
type Phase = "head" | "body" | "busy" | "leaving" | "lingering" | "closed";

/**
 * One stranger's connection. It serves one request at a time, and reads none of the next before the
 * answer to the last has left.
 */
export class Connection {
  readonly #hall: Hall;
  readonly #socket: Wire;
  readonly address: string;
  readonly network: Network;
  #place: Place<Connection> | null = null;
  #phase: Phase = "head";
  #deadlineMs: number;
  /** Since when the request is read; null between two requests. */
  #begunMs: number | null;
  #heads = new HeadReader();
  #head: Http1RequestHead | null = null;
  #plan: Plan | null = null;
  #body: Http1BodyReader | null = null;
  /** Read, and not looked at yet. */
  #waiting: Buffer = NONE;
  /** The client has said its last. */
  #hasEnded = false;
  #isLast = false;
  #lingeredBytes = 0;

  /**
   * @param open gives the stream, which begins to read into `onread` at once, and may be half open
   */
  constructor(hall: Hall, open: (onread: OnRead) => Wire, nowMs: number) {
    this.#hall = hall;
    this.#begunMs = nowMs;
    this.#deadlineMs = nowMs + hall.patience.headersTimeoutMs;
    this.#socket = open({ buffer: INPUT, callback: (lengthBytes) => this.#read(lengthBytes) });
    this.#socket.on("error", () => {}); // `close` follows
    this.#socket.on("end", () => this.#end());
    this.#socket.on("close", () => this.#closed());
    this.address = plainAddress(this.#socket.remoteAddress ?? "");
    this.network = networkOf(this.address);
  }

  /** The connection is let in, and takes a place. */
  enter(): void {
    this.#place = this.#hall.places.enter(this, this.network);
  }

  /** Whether nothing of a request is there. */
  get isIdle(): boolean {
    return this.#phase === "head" && !this.#heads.hasBegun && this.#waiting.length === 0;
  }

  /** Ends the connection at once. */
  cut(): void {
    this.#socket.destroy();
    this.#closed();
  }

  /** Ends the connection where it is late. Asked once in a while. */
  checkTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#phase === "busy") return;
    const isReading = this.#phase === "head" || this.#phase === "body";
    if (isReading && this.#waiting.length > 0) return; // it is the server that is late
    if (this.#phase === "body" || this.#heads.hasBegun) this.#refuse(empty(408));
    else this.cut();
  }

  /** What was deferred has its turn. */
  goOn(): void {
    if (this.#phase === "closed") return;
    const input = this.#waiting;
    this.#waiting = NONE;
    if (this.#take(input)) this.#socket.resume();
  }

  /** @returns false where nothing more is read for now */
  #read(lengthBytes: number): boolean {
    if (this.#phase === "lingering") return this.#linger(lengthBytes);
    const input = INPUT.subarray(0, lengthBytes);
    if (!this.#hall.turn.isSpent()) return this.#take(input);
    this.#wait(input);
    return false;
  }

  #wait(input: Buffer): void {
    this.#waiting = Buffer.allocUnsafeSlow(input.length);
    input.copy(this.#waiting);
    this.#hall.defer(this);
  }

  /** @param input is the caller's again afterwards */
  #take(input: Buffer): boolean {
    let rest = input;
    if (this.#phase === "head") {
      const after = this.#readHead(input);
      if (after === null) return this.#isReading();
      rest = after;
    }
    this.#readBody(rest);
    return this.#isReading();
  }

  #isReading(): boolean {
    const { length } = this.#waiting;
    return (this.#phase === "head" || this.#phase === "body" || this.#phase === "lingering") && length === 0;
  }

  /** What follows the head; null where the head is not complete, or was answered. */
  #readHead(input: Buffer): Buffer | null {
    if (this.#begunMs === null) this.#begin();
    const read = this.#heads.push(input);
    if (read !== null && typeof read === "object") return this.#judge(read.head, read.rest);
    if (read === null) this.#hall.budget.keep(this, this.#heads.capacityBytes);
    else this.#refuse(empty(read));
    return null;
  }

  #begin(): void {
    this.#begunMs = this.#hall.clock.monotonicMs();
    this.#deadlineMs = this.#begunMs + this.#hall.patience.headersTimeoutMs;
  }

  #judge(head: Http1RequestHead, rest: Buffer): Buffer | null {
    const verdict = this.#hall.judge(head);
    this.#head = head;
    if ("limitBytes" in verdict) {
      this.#plan = verdict;
      this.#body = new Http1BodyReader(head, verdict.limitBytes);
      this.#deadlineMs = (this.#begunMs ?? 0) + this.#hall.patience.requestTimeoutMs;
      this.#phase = "body";
      return rest;
    }
    // What was not read of a body would be taken for the next request.
    if (head.framing === "none") this.#pass(rest);
    else this.#isLast = true;
    this.answer(verdict);
    return null;
  }

  #readBody(input: Buffer): void {
    const [plan, body] = [this.#plan, this.#body];
    if (plan === null || body === null) return;
    const end = body.push(input, 0);
    if (body.state === "more") {
      this.#hall.budget.keep(this, body.capacityBytes);
      if (this.#head?.awaitsContinue && input.length === 0) this.#socket.write(CONTINUE);
    } else if (body.state === "whole") {
      this.#pass(input.subarray(end));
      this.#complete(plan, body.body);
    } else if (body.state === 413) this.#refuse(plan.tooLong);
    else this.#refuse(empty(400));
  }

  /** The request is whole, and what came behind it waits for the answer. */
  #pass(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#waiting = Buffer.allocUnsafeSlow(rest.length);
    rest.copy(this.#waiting);
  }

  #complete(plan: Plan, body: Buffer): void {
    this.#phase = "busy";
    if (this.#place !== null) this.#hall.places.begin(this.#place);
    if (!this.#hall.budget.pin(this, body.length)) {
      this.refuseForNow();
      return;
    }
    this.#hall.serve(this, plan, body);
  }

  /**
   * Refuses because too much is asked of the server. The connection ends with it, so that asking
   * again costs a new one.
   */
  refuseForNow(): void {
    this.#isLast = true;
    this.answer(empty(503, ["retry-after", "1"]));
  }

  /** The rest of the connection makes no sense. */
  #refuse(reply: Reply): void {
    this.#isLast = true;
    this.answer(reply);
  }

  /** Answers the request that is in hand. */
  answer(reply: Reply): void {
    if (this.#phase === "closed") return;
    this.#isLast ||= this.#hall.isClosing || this.#head?.isKept === false;
    this.#hall.budget.release(this);
    this.#phase = "leaving";
    this.#deadlineMs = this.#hall.clock.monotonicMs() + UNREAD_MS;
    const isHead = this.#head?.method === "HEAD";
    const hasUnread = this.#body?.state !== "whole" && this.#head?.framing !== "none";
    this.#body = null;
    this.#head = null;
    this.#plan = null;
    const keptSeconds = this.#isLast ? null : Math.floor(this.#hall.patience.keepAliveMs / 1000);
    this.#socket.write(formatReply(reply, { isHead, keptSeconds }), "latin1");
    if (this.#socket.writableLength === 0) this.#left(hasUnread);
    else {
      // It gives way to others, since it may never be read.
      if (this.#place !== null) this.#hall.places.rest(this.#place);
      this.#hall.answers.add(this);
      this.#socket.write("", () => this.#left(hasUnread));
    }
  }

  /** The kernel has all of the answer. */
  #left(hasUnread: boolean): void {
    if (this.#phase !== "leaving") return;
    this.#hall.answers.delete(this);
    if (this.#isLast) {
      if (hasUnread || this.#waiting.length > 0) this.#startLingering();
      else this.#socket.destroy();
      return;
    }
    this.#phase = "head";
    this.#begunMs = null;
    this.#deadlineMs = this.#hall.clock.monotonicMs() + this.#hall.patience.keepAliveMs + KEPT_LONGER_MS;
    if (this.#place !== null) this.#hall.places.rest(this.#place);
    if (this.#waiting.length > 0) this.#hall.defer(this);
    else if (this.#hasEnded) this.#socket.end();
    else this.#socket.resume();
  }

  #startLingering(): void {
    this.#waiting = NONE;
    this.#phase = "lingering";
    this.#deadlineMs = this.#hall.clock.monotonicMs() + LINGER_MS;
    if (this.#place !== null) this.#hall.places.rest(this.#place);
    this.#socket.end();
    this.#socket.resume();
  }

  #linger(lengthBytes: number): boolean {
    this.#lingeredBytes += lengthBytes;
    if (this.#lingeredBytes > LINGER_BYTES) this.cut();
    return true;
  }

  #end(): void {
    this.#hasEnded = true;
    if (this.#phase === "lingering") this.cut();
    else if (this.#phase === "body" || this.#heads.hasBegun) this.#refuse(empty(400));
    else if (this.#phase === "head" && this.#waiting.length === 0) this.#socket.destroy();
  }

  #closed(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#waiting = NONE;
    this.#hall.answers.delete(this);
    this.#hall.budget.release(this);
    if (this.#place !== null) this.#hall.places.leave(this.#place);
    this.#hall.left(this);
  }
}
