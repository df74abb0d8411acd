import { Socket, type SocketConstructorOpts } from "node:net";
import { Gathering } from "../../core/gathering.ts";
import { Http1BodyReader, type Http1RequestHead, parseHttp1RequestHead } from "../../formats/http1-request.ts";
import type { Answers } from "./answers.ts";
import type { Budget } from "./budget.ts";
import { type Network, networkOf, plainAddress } from "./network.ts";
import { type Plan, URL_BYTES } from "./perform.ts";
import type { Place, Places } from "./places.ts";
import { empty, type Reply } from "./reply.ts";
import type { Turn } from "./turn.ts";

/** How long strangers may take. */
export interface Patience {
  /** From the connection, or a request's first byte, to the end of its head. */
  readonly headersTimeoutMs: number;
  /** To the end of its body. */
  readonly requestTimeoutMs: number;
  /** Between an answer and the next request. */
  readonly keepAliveMs: number;
}

/** What all connections of a server share. */
export interface Hall {
  readonly patience: Patience;
  readonly places: Places<Connection>;
  readonly budget: Budget<Connection>;
  readonly turn: Turn;
  readonly answers: Answers;
  /** True once the server ends: each connection is closed after its answer. */
  readonly isClosing: boolean;
  /** Of a request whose head is known, before anything of its body is read: the answer, or what the body is for. */
  judge(head: Http1RequestHead): Reply | Plan;
  /** A complete request. Nothing more is read before it has its answer. */
  serve(connection: Connection, plan: Plan, body: Buffer): void;
  /** Input is there already that has had its share of this turn: `goOn` when it is its turn again. */
  defer(connection: Connection): void;
  left(connection: Connection): void;
}

/** What every connection reads into, one at a time: what stays is copied. Small, so that none has much of a turn. */
const READ_BYTES = 4096;
const INPUT = Buffer.allocUnsafeSlow(READ_BYTES);
const NONE = Buffer.alloc(0);

const HEADER_BYTES = 16_384;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** A client that is still sending would lose the answer to a reset: it is read on, so long and so much. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 << 20;
/** A client that goes on in the last moment that it was told must not find the connection closed. */
const KEPT_LONGER_MS = 2_000;
/** An answer that is not read keeps its connection for as long. */
const UNREAD_MS = 10_000;

/** `head` and `body`: a request is read. `busy`: it waits for its answer. `leaving`: the answer waits for its client. */
type Phase = "head" | "body" | "busy" | "leaving" | "lingering" | "closed";

/** One stranger's connection: one request at a time, and none of the next before the answer to the last has left. */
export class Connection {
  readonly #hall: Hall;
  readonly #socket: Socket;
  readonly address: string;
  readonly network: Network;
  #place: Place<Connection> | null = null;
  #phase: Phase = "head";
  #deadlineMs: number;
  /** Since when the request is read; null between two. */
  #begunMs: number | null;
  #headBytes: Gathering | null = null;
  #head: Http1RequestHead | null = null;
  #plan: Plan | null = null;
  #body: Http1BodyReader | null = null;
  /** Read, and not looked at yet. */
  #waiting: Buffer = NONE;
  /** The client has said its last. */
  #hasEnded = false;
  #isLast = false;
  #lingeredBytes = 0;

  /** @param source what `net.Socket` makes a socket of: a descriptor, or the handle that it has of one */
  constructor(hall: Hall, source: { readonly fd: number } | { readonly handle: unknown }, nowMs: number) {
    this.#hall = hall;
    this.#begunMs = nowMs;
    this.#deadlineMs = nowMs + hall.patience.headersTimeoutMs;
    const onread = { buffer: INPUT, callback: (lengthBytes: number) => this.#read(lengthBytes) };
    // The types know a handle of another kind only.
    this.#socket = new Socket({ ...source, allowHalfOpen: true, onread } as SocketConstructorOpts);
    this.#socket.on("error", () => {}); // `close` follows
    this.#socket.on("end", () => this.#end());
    this.#socket.on("close", () => this.#closed());
    this.address = plainAddress(this.#socket.remoteAddress ?? "");
    this.network = networkOf(this.address);
  }

  /** It was let in. */
  enter(): void {
    this.#place = this.#hall.places.enter(this, this.network);
  }

  /** Nothing of a request is there. */
  get isIdle(): boolean {
    return this.#phase === "head" && this.#headBytes === null && this.#waiting.length === 0;
  }

  cut(): void {
    this.#socket.destroy();
    this.#closed();
  }

  /** Asked once in a while. */
  checkTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#phase === "busy") return;
    const isReading = this.#phase === "head" || this.#phase === "body";
    if (isReading && this.#waiting.length > 0) return; // it is the server that is late
    if (this.#phase === "body" || this.#headBytes !== null) this.#refuse(empty(408));
    else this.cut();
  }

  /** What was deferred has its turn. */
  goOn(): void {
    if (this.#phase === "closed") return;
    const input = this.#waiting;
    this.#waiting = NONE;
    if (this.#take(input)) this.#socket.resume();
  }

  /** @returns false: no more for now */
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

  /** What follows the head; null where it is not complete, or was answered. */
  #readHead(input: Buffer): Buffer | null {
    let bytes = input;
    let from = 0;
    if (this.#headBytes !== null) {
      from = Math.max(0, this.#headBytes.lengthBytes - END_OF_HEAD.length + 1);
      this.#headBytes.append(input);
      bytes = this.#headBytes.bytes;
    } else if (this.#begunMs === null) this.#begin();
    // An empty line or two before a request is borne (RFC 9112 section 2.2).
    let start = 0;
    while (bytes[start] === 0x0d && bytes[start + 1] === 0x0a) start += 2;
    const end = bytes.indexOf(END_OF_HEAD, Math.max(start, from));
    if ((end < 0 ? bytes.length : end) - start > HEADER_BYTES) {
      this.#refuse(empty(isLongUrl(bytes, start) ? 414 : 431));
      return null;
    }
    if (end < 0) {
      if (!canBeginRequest(bytes[start])) this.#refuse(empty(400));
      else this.#keepHead(input);
      return null;
    }
    const head = parseHttp1RequestHead(bytes.toString("latin1", start, end));
    this.#headBytes = null;
    if (typeof head === "number") {
      this.#refuse(empty(head));
      return null;
    }
    return this.#judge(head, bytes.subarray(end + END_OF_HEAD.length));
  }

  #begin(): void {
    const { headersTimeoutMs } = this.#hall.patience;
    this.#begunMs = performance.now();
    this.#deadlineMs = this.#begunMs + headersTimeoutMs;
  }

  #keepHead(input: Buffer): void {
    if (this.#headBytes === null) {
      this.#headBytes = new Gathering();
      this.#headBytes.append(input);
    }
    this.#hall.budget.keep(this, this.#headBytes.capacityBytes);
  }

  #judge(head: Http1RequestHead, rest: Buffer): Buffer | null {
    const verdict = this.#hall.judge(head);
    this.#head = head;
    if ("route" in verdict) {
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

  /** The request is whole: what came behind it waits for the answer. */
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

  /** Too much is asked of the server. The connection ends with it, so that asking again costs a new one. */
  refuseForNow(): void {
    this.#isLast = true;
    this.answer(empty(503, ["retry-after", "1"]));
  }

  /** The rest of the connection makes no sense. */
  #refuse(reply: Reply): void {
    this.#isLast = true;
    this.answer(reply);
  }

  answer(reply: Reply): void {
    if (this.#phase === "closed") return;
    this.#isLast ||= this.#hall.isClosing || this.#head?.isKept === false;
    this.#hall.budget.release(this);
    this.#headBytes = null;
    this.#phase = "leaving";
    this.#deadlineMs = performance.now() + UNREAD_MS;
    const isHead = this.#head?.method === "HEAD";
    const hasUnread = this.#body?.state !== "whole" && this.#head?.framing !== "none";
    this.#body = null;
    this.#head = null;
    this.#plan = null;
    this.#write(reply, isHead);
    if (this.#socket.writableLength === 0) this.#left(hasUnread);
    else {
      // It gives way to others, since it may never be read.
      if (this.#place !== null) this.#hall.places.rest(this.#place);
      this.#hall.answers.add(this);
      this.#socket.write("", () => this.#left(hasUnread));
    }
  }

  #write({ status, headers, body }: Reply, isHead: boolean): void {
    const lengthBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    let head = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`;
    for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    if (status !== 204) head += `content-length: ${lengthBytes}\r\n`;
    const { keepAliveMs } = this.#hall.patience;
    const timeout = Math.floor(keepAliveMs / 1000);
    head += this.#isLast
      ? "connection: close\r\n\r\n"
      : `connection: keep-alive\r\nkeep-alive: timeout=${timeout}\r\n\r\n`;
    if (isHead || lengthBytes === 0) this.#socket.write(head, "latin1");
    else if (typeof body === "string") this.#socket.write(head + body, body.length === lengthBytes ? "latin1" : "utf8");
    else this.#socket.write(Buffer.concat([Buffer.from(head, "latin1"), body]));
  }

  /** The answer is the kernel's. */
  #left(hasUnread: boolean): void {
    if (this.#phase !== "leaving") return;
    this.#hall.answers.delete(this);
    if (this.#isLast) {
      if (hasUnread || this.#waiting.length > 0) this.#startLingering();
      else this.#socket.destroySoon();
      return;
    }
    this.#phase = "head";
    this.#begunMs = null;
    this.#deadlineMs = performance.now() + this.#hall.patience.keepAliveMs + KEPT_LONGER_MS;
    if (this.#place !== null) this.#hall.places.rest(this.#place);
    if (this.#waiting.length > 0) this.#hall.defer(this);
    else if (this.#hasEnded) this.#socket.end();
    else this.#socket.resume();
  }

  #startLingering(): void {
    this.#waiting = NONE;
    this.#phase = "lingering";
    this.#deadlineMs = performance.now() + LINGER_MS;
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
    else if (this.#phase === "body" || this.#headBytes !== null) this.#refuse(empty(400));
    else if (this.#phase === "head" && this.#waiting.length === 0) this.#socket.destroySoon();
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

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Payload Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** What begins with anything else (TLS, say) would be waited for in vain. */
function canBeginRequest(byte: number | undefined): boolean {
  return byte === undefined || byte === 0x0d || (byte > 0x20 && byte < 0x7f);
}

/** Whether it is the first line that filled the head. */
function isLongUrl(bytes: Buffer, start: number): boolean {
  const end = bytes.indexOf(0x0a, start);
  return end < 0 || end - start >= URL_BYTES;
}
