/**
 * Machines that all ask at once, as after a power cut, in a process of their own: node
 * bench/fleet/crowd.ts, a plan as JSON on stdin, figures on stdout. Each has a connection of its
 * own. One that is refused for now asks again after a second, as a machine that boots does.
 */
import { createECDH } from "node:crypto";
import { text } from "node:stream/consumers";
import { Sockets, socketAddress } from "./sockets.ts";

export interface CrowdPlan {
  readonly port: number;
  /** Paths of `POST /rec/{kid}`, one for each machine. */
  readonly paths: readonly string[];
  /** How many connections this process has open at most. */
  readonly connections: number;
}

export interface CrowdFigures {
  readonly released: number;
  /** How often one was told to ask again. */
  readonly again: number;
  /** From the first connection to the last release. */
  readonly lastMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What this process took of the processors meanwhile. */
  readonly ownCpuMs: number;
}

/** Networks that they come from: one address has too few ports, and too small a share. */
const NETWORKS = 32;
const POINTS = 512;
const AGAIN_MS = 1000;

const plan = JSON.parse(await text(process.stdin)) as CrowdPlan;
const bodies = Array.from({ length: POINTS }, () => {
  const point = createECDH("prime256v1").generateKeys();
  const [x, y] = [point.toString("base64url", 1, 33), point.toString("base64url", 33)];
  return JSON.stringify({ alg: "ECMR", crv: "P-256", key_ops: ["deriveKey"], kty: "EC", x, y });
});
/** Written before the clock starts: what the clients cost is taken from the server's machine. */
const requests = plan.paths.map((path, number) => {
  const body = bodies[number % POINTS] ?? "";
  const head = `POST ${path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/jwk+json`;
  return Buffer.from(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
});
/** What is read lies here, of one connection at a time: an answer is shorter, and comes whole. */
const INPUT = Buffer.alloc(4096);
const to = socketAddress("127.0.0.1", plan.port);
const sources = Array.from({ length: NETWORKS }, (_, index) => socketAddress(`127.0.${1 + index}.1`, 0));
const sockets = new Sockets();
/** Whose each connection is, by descriptor. */
const open = new Map<number, number>();
/** Who was told to ask again, and when that is. */
const later: { readonly number: number; readonly atMs: number }[] = [];
const times: number[] = [];
let [next, again] = [0, 0];
const startMs = performance.now();
const startCpu = process.cpuUsage();
while (times.length < plan.paths.length) {
  while (open.size < plan.connections) {
    const number = nextToAsk();
    if (number === null) break;
    open.set(sockets.open(sources[number % NETWORKS] ?? to, to, requests[number] ?? Buffer.alloc(0)), number);
  }
  sockets.wait(AGAIN_MS / 10, answered);
}
const used = process.cpuUsage(startCpu);
const sorted = times.toSorted((a, b) => a - b);
const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
const figures: CrowdFigures = {
  released: times.length,
  again,
  lastMs: sorted.at(-1) ?? 0,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  ownCpuMs: (used.user + used.system) / 1000,
};
process.stdout.write(JSON.stringify(figures));

/** The machine whose turn it is; null where all have asked, and none is to ask again yet. */
function nextToAsk(): number | null {
  const first = later[0];
  if (first !== undefined && first.atMs <= performance.now()) return later.shift()?.number ?? null;
  return next < plan.paths.length ? next++ : null;
}

function answered(fd: number): void {
  const number = open.get(fd) ?? 0;
  const received = INPUT.toString("latin1", 0, Math.max(0, sockets.read(fd, INPUT)));
  sockets.close(fd);
  open.delete(fd);
  if (received.startsWith("HTTP/1.1 200") && received.includes('"y"')) times.push(performance.now() - startMs);
  else if (received === "" || received.startsWith("HTTP/1.1 503")) {
    again++; // cut to make room, or refused for now
    later.push({ number, atMs: performance.now() + AGAIN_MS });
  } else throw new Error(received.slice(0, 200));
}
