/**
 * The clients, in a process of their own: node bench/fleet/load.ts, a plan as JSON on stdin,
 * figures as JSON on stdout. Raw sockets and requests that were written before the clock starts: it
 * must not be what is measured.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

export interface LoadPlan {
  readonly host: string;
  readonly port: number;
  /** Paths of `POST /rec/{kid}`, taken in turn. */
  readonly paths: readonly string[];
  /** Bodies: valid points, taken in turn. */
  readonly bodies: readonly string[];
  readonly connections: number;
  readonly durationMs: number;
  /** One connection for many requests, or a new one for each. */
  readonly keepAlive: boolean;
}

export interface LoadFigures {
  readonly released: number;
  readonly failed: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** A first failure, for whoever has to find out. */
  readonly failure: string | null;
}

const plan = JSON.parse(await text(process.stdin)) as LoadPlan;
const requests = plan.paths.map((path, index) => {
  const body = plan.bodies[index % plan.bodies.length] ?? "";
  const head = `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/jwk+json\r\n`;
  const end = plan.keepAlive ? "" : "Connection: close\r\n";
  return Buffer.from(`${head}${end}Content-Length: ${body.length}\r\n\r\n${body}`);
});
const latenciesMs: number[] = [];
let next = 0;
let failed = 0;
let failure: string | null = null;
const startedMs = performance.now();
const endMs = startedMs + plan.durationMs;
await Promise.all(Array.from({ length: plan.connections }, () => (plan.keepAlive ? keepAsking() : askAnew())));
const elapsedMs = performance.now() - startedMs;
const sorted = latenciesMs.sort((a, b) => a - b);
const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
const figures: LoadFigures = {
  released: sorted.length,
  failed,
  elapsedMs,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  failure,
};
process.stdout.write(JSON.stringify(figures));

async function keepAsking(): Promise<void> {
  const socket = await open();
  while (performance.now() < endMs) await ask(socket, true);
  socket.destroy();
}

async function askAnew(): Promise<void> {
  while (performance.now() < endMs) {
    const startMs = performance.now();
    const socket = await open();
    await ask(socket, false, startMs);
    socket.destroy();
  }
}

async function open(): Promise<Socket> {
  const socket = connect({ host: plan.host, port: plan.port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** One request; the answer is whole when its body is as long as it says. */
function ask(socket: Socket, kept: boolean, startMs = performance.now()): Promise<void> {
  const request = requests[next++ % requests.length] ?? Buffer.alloc(0);
  return new Promise((resolve) => {
    let received = "";
    const settle = (why: string | null) => {
      socket.removeAllListeners("data");
      socket.removeAllListeners("close");
      socket.removeAllListeners("error");
      if (why === null) latenciesMs.push(performance.now() - startMs);
      else {
        failed++;
        failure ??= why;
      }
      resolve();
    };
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
      const split = received.indexOf("\r\n\r\n");
      if (split < 0) return;
      const lengthBytes = Number(/content-length: (\d+)/i.exec(received)?.[1]);
      if (received.length - split - 4 < lengthBytes) return;
      settle(received.startsWith("HTTP/1.1 200") && received.includes('"y"') ? null : received.slice(0, 200));
    });
    socket.on("error", (error) => settle(error.message));
    if (kept) socket.on("close", () => settle("closed"));
    socket.write(request);
  });
}
