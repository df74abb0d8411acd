/**
 * Machines that send heartbeats, in a process of their own: node bench/fleet/beats.ts, a plan as
 * JSON on stdin, figures on stdout. Heartbeats are written before the clock starts; each waits for
 * the answer to the one before on its connection.
 */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { buildHeartbeat } from "../../src/formats/own/heartbeat.ts";
import { sessionKeyOf, TAG } from "./plan.ts";

export interface BeatsPlan {
  readonly port: number;
  /** Numbers of machines: every `step`th from `first` on, below `machines`. */
  readonly machines: number;
  readonly first: number;
  readonly step: number;
  /** Heartbeats altogether. */
  readonly count: number;
  readonly connections: number;
  /** One connection for many, or a new one for each. */
  readonly keepAlive: boolean;
  /** Whether they ask what is left of their leases, as a machine with a tether does. */
  readonly asksLease: boolean;
  /** Which heartbeat of its session each machine's first one is. */
  readonly counter: number;
  /**
   * Whether this process never sleeps. On one machine it is the server that pays for waking its
   * clients, which it does not where they are elsewhere.
   */
  readonly isAwake: boolean;
}

export interface BeatsFigures {
  readonly heard: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const plan = JSON.parse(await text(process.stdin)) as BeatsPlan;
const head = `POST /alive${plan.asksLease ? "/lease" : ""} HTTP/1.1\r\nHost: bench\r\n${plan.keepAlive ? "" : "Connection: close\r\n"}Content-Length: 44\r\n\r\n`;
const HEAD = Buffer.from(head);
const ANSWER_BYTES = plan.asksLease ? 41 : 37;
const perMachine = Math.ceil(plan.machines / plan.step);
const beats = Buffer.alloc(plan.count * (HEAD.length + 44));
for (let index = 0; index < plan.count; index++) {
  const number = plan.first + (index % perMachine) * plan.step;
  const session = Buffer.alloc(8);
  session.writeUInt32BE(number);
  TAG.copy(session, 4);
  const at = index * (HEAD.length + 44);
  HEAD.copy(beats, at);
  const counter = plan.counter + Math.floor(index / perMachine);
  buildHeartbeat(sessionKeyOf(number), session, counter).copy(beats, at + HEAD.length);
}
const times = new Float64Array(plan.count);
let [next, heard] = [0, 0];
let isDone = false;
if (plan.isAwake) stayAwake();
const startMs = performance.now();
await Promise.all(Array.from({ length: plan.connections }, plan.keepAlive ? keepBeating : beatAnew));
const elapsedMs = performance.now() - startMs;
isDone = true;
const sorted = times.subarray(0, heard).sort();
const at = (share: number) => sorted[Math.floor(heard * share)] ?? 0;
const figures: BeatsFigures = { heard, elapsedMs, p50Ms: at(0.5), p99Ms: at(0.99) };
process.stdout.write(JSON.stringify(figures));

function stayAwake(): void {
  if (!isDone) setImmediate(stayAwake);
}

function keepBeating(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: plan.port, noDelay: true });
    let sentMs = 0;
    const send = () => {
      if (next >= plan.count) {
        socket.destroy();
        return resolve();
      }
      sentMs = performance.now();
      socket.write(beatOf(next++));
    };
    socket.on("connect", send);
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      if (!isHeard(chunk)) return reject(new Error(chunk.toString("latin1").slice(0, 200)));
      times[heard++] = performance.now() - sentMs;
      send();
    });
  });
}

async function beatAnew(): Promise<void> {
  while (next < plan.count) {
    const beat = beatOf(next++);
    const sentMs = performance.now();
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: plan.port, noDelay: true }, () => socket.write(beat));
      socket.on("error", reject);
      socket.on("data", (chunk: Buffer) => {
        socket.destroy();
        if (!isHeard(chunk)) return reject(new Error(chunk.toString("latin1").slice(0, 200)));
        times[heard++] = performance.now() - sentMs;
        resolve();
      });
    });
  }
}

function beatOf(index: number): Buffer {
  return beats.subarray(index * (HEAD.length + 44), (index + 1) * (HEAD.length + 44));
}

/** `HTTP/1.1 200`, an answer that is so short that it comes in one piece, and no lock in it. */
function isHeard(chunk: Buffer): boolean {
  return chunk[9] === 0x32 && chunk[chunk.length - ANSWER_BYTES] === 0;
}
