/**
 * A flood, in a process of its own: node bench/siege/attack.ts, a plan as JSON on stdin, figures as
 * JSON on stdout. It ends by itself, and connects to this machine alone.
 */
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";

export interface AttackPlan {
  readonly kind: "pipelined" | "sustained" | "churning" | "chunks" | "holding" | "slowloris" | "none";
  readonly host: string;
  readonly port: number;
  readonly seconds: number;
  readonly connections: number;
  /** What is asked for: a POST of the body, or where that is empty a GET. */
  readonly path: string;
  readonly body: string;
  /** Bytes a second in all; absent: as fast as it goes. */
  readonly rate?: number;
  /** Source addresses, taken in turn; absent: whichever the kernel takes. */
  readonly sources?: readonly string[];
}

export interface AttackFigures {
  readonly opened: number;
  readonly sentBytes: number;
  /** Answers by their status. */
  readonly answers: Readonly<Record<string, number>>;
}

const plan = JSON.parse(await text(process.stdin)) as AttackPlan;
if (!/^(127\.|::1$|fd99:)/.test(plan.host)) throw new Error("loopback only");
const startMs = performance.now();
const endMs = startMs + plan.seconds * 1000;
const isOver = () => performance.now() >= endMs;
let opened = 0;
let sentBytes = 0;
const answers: Record<string, number> = {};

const request = Buffer.from(
  plan.body === ""
    ? `GET ${plan.path} HTTP/1.1\r\nHost: x\r\n\r\n`
    : `POST ${plan.path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${plan.body.length}\r\n\r\n${plan.body}`,
);
const requests = Buffer.concat(Array.from({ length: 200 }, () => request));
const chunksHead = Buffer.from(`POST ${plan.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
const chunks = Buffer.from("1\r\na\r\n".repeat(1000));

const ACTS: Readonly<Record<AttackPlan["kind"], (socket: Socket) => Promise<void>>> = {
  pipelined: async (socket) => {
    socket.pause(); // nothing is read
    for (let count = 0; count < 5000 && (await send(socket, requests)); count += 200);
    await closed(socket);
  },
  sustained: async (socket) => {
    while (await send(socket, requests)) await paced();
  },
  churning: async (socket) => {
    const answered = new Promise((resolve) => socket.once("data", resolve));
    if (await send(socket, request)) await Promise.race([answered, closed(socket)]);
    await paced();
  },
  chunks: async (socket) => {
    await send(socket, chunksHead);
    for (let count = 0; count < 65_000 && (await send(socket, chunks)); count += 1000);
    await closed(socket);
  },
  holding: async (socket) => {
    await send(socket, Buffer.from("GET /healthz HTTP/1.1\r\nHost: x\r\n"));
    await closed(socket);
  },
  slowloris: async (socket) => {
    await send(socket, Buffer.from("GET /healthz HTTP/1.1\r\nHost: x\r\n"));
    while (await send(socket, Buffer.from("X-A: b\r\n"))) await wait(3000);
  },
  none: async () => {},
};

setTimeout(() => {}, plan.seconds * 1000); // sockets that nobody reads keep no process alive
if (plan.kind !== "none") await Promise.all(Array.from({ length: plan.connections }, (_, index) => keepAt(index)));
process.stdout.write(JSON.stringify({ opened, sentBytes, answers } satisfies AttackFigures));
process.exit(0);

/**
 * One connection after the other, a little later each to begin with, lest this process be what is
 * slow.
 */
async function keepAt(index: number): Promise<void> {
  await wait(Math.floor(index / 10));
  while (!isOver()) {
    const socket = await open();
    if (socket === null) await wait(20);
    else await ACTS[plan.kind](socket);
    socket?.destroy();
  }
}

function open(): Promise<Socket | null> {
  const localAddress = plan.sources?.[opened % plan.sources.length];
  const socket = connect({ host: plan.host, port: plan.port, ...(localAddress === undefined ? {} : { localAddress }) });
  opened++;
  socket.on("data", (piece: Buffer) => {
    for (const [, status = ""] of piece.toString("latin1").matchAll(/HTTP\/1\.1 (\d{3})/g)) {
      answers[status] = (answers[status] ?? 0) + 1;
    }
  });
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket));
    socket.on("error", () => resolve(null));
    socket.on("close", () => resolve(null));
  });
}

/** False once the connection or the time is over. */
async function send(socket: Socket, bytes: Buffer): Promise<boolean> {
  if (socket.destroyed || isOver()) return false;
  sentBytes += bytes.length;
  if (!socket.write(bytes))
    await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed(socket)]);
  return !socket.destroyed && !isOver();
}

/** Or the time is over. */
function closed(socket: Socket): Promise<unknown> {
  if (socket.destroyed) return Promise.resolve();
  const end = wait(Math.max(0, endMs - performance.now()), null, { ref: false });
  return Promise.race([new Promise((resolve) => socket.once("close", resolve)), end]);
}

async function paced(): Promise<void> {
  while (plan.rate !== undefined && !isOver() && sentBytes > (plan.rate * (performance.now() - startMs)) / 1000) {
    await wait(5);
  }
}
