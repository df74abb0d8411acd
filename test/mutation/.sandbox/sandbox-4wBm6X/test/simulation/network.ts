/** The network between clients and the server: it delays, loses, brings twice, and is cut. */
// @ts-nocheck

import type { OnRead, Wire } from "../../src/server/http/connection.ts";
import type { Chance } from "./chance.ts";
import type { Life, SimulatedServer } from "./server.ts";
import type { SimulatedTime } from "./time.ts";

/** A place in the network. */
export interface Host {
  readonly address: string;
  /** Nothing reaches the server from here, nor comes back. */
  isCut: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: Buffer;
}

/** Who is told of what happens at the server's door. */
export interface Observer {
  /** The last byte of a request has arrived. Gives what is told of its answer. */
  arrived(from: Host, request: Request): (answer: Answer) => void;
}

const LOST = 0.02;
const TWICE = 0.02;
const SLOW_READER = 0.02;
const TIMEOUT_MS = 10_000;

export class SimulatedNetwork {
  readonly #time: SimulatedTime;
  readonly #chance: Chance;
  readonly #server: SimulatedServer;
  readonly #observer: Observer;
  readonly #seenAs: string | undefined;

  /** @param seenAs the address that every client seems to come from, where that is the fault */
  constructor(
    time: SimulatedTime,
    chance: Chance,
    server: SimulatedServer,
    observer: Observer,
    seenAs: string | undefined,
  ) {
    this.#seenAs = seenAs;
    this.#time = time;
    this.#chance = chance;
    this.#server = server;
    this.#observer = observer;
  }

  /** Asks the server. Null where no answer comes in time. */
  async ask(from: Host, request: Request): Promise<Answer | null> {
    if (this.#chance.happens(TWICE)) {
      // What was sent comes once more, soon or much later, as from somebody who listened.
      const laterMs = this.#chance.pick([50, 3000, 90_000, 3_600_000]);
      this.#time.at(this.#chance.between(1, laterMs), () => void this.#exchange(from, request));
    }
    return this.#exchange(from, request);
  }

  #exchange(from: Host, request: Request): Promise<Answer | null> {
    return new Promise((resolve) => {
      let wire: MemoryWire | null = null;
      const giveUp = this.#time.at(TIMEOUT_MS, () => {
        wire?.hangUp();
        resolve(null);
      });
      const done = (answer: Answer | null) => {
        giveUp();
        resolve(answer);
      };
      const isLost = () => from.isCut || this.#chance.happens(LOST);
      this.#time.at(this.#delayMs(), () => {
        if (isLost()) return;
        const { life } = this.#server;
        if (life === null || !life.isAlive) return done(null); // refused
        if (this.#server.isHeldUp) return;
        this.#time.stir();
        wire = new MemoryWire(this.#time, life, this.#seenAs ?? from.address, {
          slowMs: this.#chance.happens(SLOW_READER) ? this.#chance.below(2000) : 0,
        });
        const opened = wire;
        life.machines.admit((onread) => opened.attach(onread));
        this.#send(opened, from, request, isLost, done);
      });
    });
  }

  #send(
    wire: MemoryWire,
    from: Host,
    request: Request,
    isLost: () => boolean,
    done: (answer: Answer | null) => void,
  ): void {
    const { method, path, body } = request;
    const length = method === "POST" ? `content-length: ${body.length}\r\n` : "";
    const bytes = Buffer.concat([
      Buffer.from(`${method} ${path} HTTP/1.1\r\nhost: keys.example\r\n${length}\r\n`),
      body,
    ]);
    const cut = this.#chance.happens(0.2) ? this.#chance.below(bytes.length) : bytes.length;
    const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)].filter(({ length }) => length > 0);
    let delayMs = 0;
    for (const [index, piece] of pieces.entries()) {
      delayMs += index === 0 ? 0 : this.#delayMs();
      const isLast = index === pieces.length - 1;
      const isPieceLost = isLost();
      this.#time.at(delayMs, () => {
        if (isPieceLost || from.isCut || !wire.isOpen || this.#server.isHeldUp) return;
        if (isLast) {
          const left = this.#observer.arrived(from, request);
          wire.onLeft = (answer) => {
            left(answer);
            const isAnswerLost = isLost();
            this.#time.at(this.#delayMs(), () => {
              if (isAnswerLost || from.isCut) return;
              wire.hangUp();
              done(answer);
            });
          };
        }
        wire.receive(piece);
      });
      if (isPieceLost) return;
    }
  }

  #delayMs(): number {
    return this.#chance.happens(0.05) ? this.#chance.between(100, 4000) : this.#chance.between(1, 40);
  }
}

/** The server's end of a connection in memory. */
class MemoryWire implements Wire {
  readonly #time: SimulatedTime;
  readonly #life: Life;
  readonly #slowMs: number;
  readonly remoteAddress: string;
  #onread: OnRead | null = null;
  #inbox: Buffer[] = [];
  #isPaused = false;
  #isFlushing = false;
  isOpen = true;
  writableLength = 0;
  #written: Buffer[] = [];
  #drained: (() => void)[] = [];
  readonly #told = new Map<string, () => void>();
  /** The whole answer belongs to the kernel. */
  onLeft: (answer: Answer) => void = () => {};

  constructor(time: SimulatedTime, life: Life, address: string, { slowMs }: { readonly slowMs: number }) {
    this.#time = time;
    this.#life = life;
    this.#slowMs = slowMs;
    this.remoteAddress = address;
  }

  attach(onread: OnRead): Wire {
    this.#onread = onread;
    return this;
  }

  /** Bytes of the client have come. */
  receive(bytes: Buffer): void {
    this.#inbox.push(bytes);
    this.#flush();
  }

  /** The client has gone. */
  hangUp(): void {
    this.#close();
  }

  on(event: string, act: (...given: never[]) => void): never {
    this.#told.set(event, act as () => void);
    return this as never;
  }

  resume(): never {
    this.#isPaused = false;
    setImmediate(() => this.#flush());
    return this as never;
  }

  write(data: unknown, ...more: unknown[]): boolean {
    if (!this.isOpen || !this.#life.isAlive) return false;
    const encoding = typeof more[0] === "string" ? (more[0] as BufferEncoding) : "utf8";
    const bytes = typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data as Uint8Array);
    const drained = more.find((one) => typeof one === "function") as (() => void) | undefined;
    if (drained !== undefined) this.#drained.push(drained);
    this.#written.push(bytes);
    if (this.#slowMs === 0) this.#drain();
    else if (this.writableLength === 0) {
      this.writableLength = bytes.length;
      this.#time.at(this.#slowMs, () => this.#drain());
    }
    return this.writableLength === 0;
  }

  #drain(): void {
    if (!this.isOpen || !this.#life.isAlive) return;
    this.writableLength = 0;
    const answer = parseAnswer(Buffer.concat(this.#written));
    if (answer !== null) {
      this.#written = [];
      this.onLeft(answer);
    }
    const drained = this.#drained;
    this.#drained = [];
    for (const act of drained) act();
  }

  end(): never {
    return this as never;
  }

  destroy(): never {
    this.#close();
    return this as never;
  }

  destroySoon(): void {
    this.#close();
  }

  #close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    setImmediate(() => {
      if (this.#life.isAlive) this.#told.get("close")?.();
    });
  }

  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    while (!this.#isPaused && this.isOpen && this.#life.isAlive && this.#onread !== null) {
      const bytes = this.#inbox.shift();
      if (bytes === undefined) break;
      const { buffer, callback } = this.#onread;
      const lengthBytes = bytes.copy(buffer);
      if (lengthBytes < bytes.length) this.#inbox.unshift(bytes.subarray(lengthBytes));
      if (!callback(lengthBytes)) this.#isPaused = true;
    }
    this.#isFlushing = false;
  }
}

/** The answer that these bytes are; null where more has to come. */
function parseAnswer(bytes: Buffer): Answer | null {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const head = bytes.toString("latin1", 0, end);
  const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
  const body = bytes.subarray(end + 4);
  return body.length < length ? null : { status: Number(head.slice(9, 12)), body };
}
