/**
 * Machines that mean it, in a process of their own: node bench/siege/clients.ts, a plan as JSON on
 * stdin, figures as JSON on stdout. Each asks for a recovery four times a second, on a new
 * connection, as a boot would, and waits for 5 s at most.
 */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";

export interface ClientsPlan {
  readonly host: string;
  readonly port: number;
  readonly seconds: number;
  readonly paths: readonly string[];
  readonly bodies: readonly string[];
  /** One client for each. */
  readonly sources: readonly string[];
}

export interface ClientsFigures {
  readonly asked: number;
  readonly released: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: Readonly<Record<string, number>>;
}

const EVERY_MS = 250;
const PATIENCE_MS = 5_000;

const plan = JSON.parse(await text(process.stdin)) as ClientsPlan;
const endMs = performance.now() + plan.seconds * 1000;
const latenciesMs: number[] = [];
const failures: Record<string, number> = {};
let asked = 0;
await Promise.all(plan.sources.map((source, index) => keepAsking(source, index)));
const sorted = latenciesMs.toSorted((a, b) => a - b);
const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
const figures: ClientsFigures = { asked, released: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), failures };
process.stdout.write(JSON.stringify(figures));

async function keepAsking(source: string, index: number): Promise<void> {
  await wait((EVERY_MS * index) / plan.sources.length);
  while (performance.now() < endMs) {
    const startMs = performance.now();
    const failure = await ask(source, asked++);
    const tookMs = performance.now() - startMs;
    if (failure === null) latenciesMs.push(tookMs);
    else failures[failure] = (failures[failure] ?? 0) + 1;
    await wait(Math.max(0, EVERY_MS - tookMs));
  }
}

/** Null once it was released, else why not. */
function ask(source: string, turn: number): Promise<string | null> {
  const body = plan.bodies[turn % plan.bodies.length] ?? "";
  const path = plan.paths[turn % plan.paths.length] ?? "";
  return new Promise((resolve) => {
    let received = "";
    const socket = connect({ host: plan.host, port: plan.port, localAddress: source });
    const settle = (failure: string | null) => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(failure);
    };
    const deadline = setTimeout(() => settle("late"), PATIENCE_MS);
    socket.on("connect", () => {
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
    });
    socket.on("data", (piece: Buffer) => {
      received += piece.toString("latin1");
      if (received.endsWith("}")) settle(received.startsWith("HTTP/1.1 200") ? null : received.slice(9, 12));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? "error"));
    socket.on("close", () => settle(received.slice(9, 12) || "closed"));
  });
}
