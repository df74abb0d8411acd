/**
 * A fleet on one server: script/node bench/fleet.ts [--machines N] [--asking N] [--beats N]
 * [--sessions N] [--json]. A start with so many machines under `alive`; heartbeats end to end over
 * HTTP, kept connections and new ones; sessions opened over HTTP; then so many machines that all
 * ask at once, as after a power cut, and whether each has its receipt. Beside it a bare server that
 * answers heartbeats and looks at nothing, and what Mandos's server starts for each check: a
 * process of fping. The server is one process, the clients are others on the same machine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import Database from "better-sqlite3";
import { thumbprintOf } from "../src/formats/jose/jwk.ts";
import { append, type CompactRange, EMPTY_RANGE, hashLeaf, rootOf } from "../src/formats/log/merkle.ts";
import { storePath } from "../src/server/store/folder/paths.ts";
import type { BeatsFigures, BeatsPlan } from "./fleet/beats.ts";
import { cpuSeconds } from "./fleet/cpu.ts";
import type { CrowdFigures, CrowdPlan } from "./fleet/crowd.ts";
import type { SessionsFigures, SessionsPlan } from "./fleet/sessions.ts";
import { makeFleet } from "./fleet/store.ts";

const { values } = parseArgs({
  options: {
    machines: { type: "string", default: "1000000" },
    asking: { type: "string", default: "100000" },
    beats: { type: "string", default: "500000" },
    sessions: { type: "string", default: "20000" },
    json: { type: "boolean" },
  },
});
const machines = Number(values.machines);
const asking = Math.min(machines, Number(values.asking));
const beats = Number(values.beats);
const sessions = Math.min(machines, Number(values.sessions));

/** Whose connections are kept, and how many there are: the least and the most that are of use. */
const CONNECTIONS = [32, 256] as const;
const CHECKS_MS = 5000;
const FPING = "/usr/bin/fping";
/** Mandos's own: mandos.conf(5). */
const MANDOS_INTERVAL_S = 120;

interface Running {
  readonly port: number;
  readonly machines: number;
  readonly startMs: number;
  readonly startCpuMs: number;
}

const home = mkdtempSync(join(process.env["NIGHTLATCH_BENCH_FOLDER"] ?? tmpdir(), "nightlatch-fleet-"));
const found: Record<string, unknown> = {};
/** Which heartbeat of its session each machine sends next. */
let counter = 1;
try {
  const folder = join(home, "data");
  await beatBare();
  const paths = await makeFleet(folder, { machines, withLatch: asking, withIdentity: sessions });
  const identity = serverOf(folder);
  const { child, running } = await start<Running>("server", folder);
  const pid = child.pid ?? 0;
  tell("start", { ...running, ...memoryOf(pid) });
  for (const connections of CONNECTIONS) await beat(pid, running.port, { connections, keepAlive: true });
  await beat(pid, running.port, { connections: CONNECTIONS[0], keepAlive: true, asksLease: true });
  await beat(pid, running.port, { connections: CONNECTIONS[0], keepAlive: false });
  await openSessions(pid, { port: running.port, server: identity, first: 0, count: sessions, connections: 64 });
  await powerCut(pid, { port: running.port, paths, connections: 512 });
  tell("memory at the end", memoryOf(pid));
  await end(child);
  tell("receipts", receiptsIn(folder));
  tell("fping", await mandos());
} finally {
  rmSync(home, { recursive: true, force: true });
}
if (values.json === true) process.stdout.write(`${JSON.stringify(found)}\n`);

function tell(what: string, figures: object): void {
  found[what] = figures;
  if (values.json === true) return;
  const shown = Object.entries(figures).map(([name, value]) => {
    return `${name} ${typeof value === "number" ? Number(value.toFixed(2)) : value}`;
  });
  console.log(`${what}: ${shown.join(", ")}`);
}

/** A server of bench/fleet, which says of itself what is in its first line. */
async function start<T>(name: string, ...words: string[]): Promise<{ child: ChildProcess; running: T }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, `fleet/${name}.ts`), ...words], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await once(createInterface(child.stdout), "line");
  return { child, running: JSON.parse(String(line)) as T };
}

async function end(child: ChildProcess): Promise<void> {
  child.stdin?.end();
  await once(child, "exit");
}

/** The same heartbeats, to a server that does nothing but answer. */
async function beatBare(): Promise<void> {
  const { child, running } = await start<{ port: number }>("bare");
  const pid = child.pid ?? 0;
  for (const connections of CONNECTIONS) await beat(pid, running.port, { connections, keepAlive: true, isBare: true });
  await end(child);
}

/**
 * Kept connections come from one process, which never sleeps; new ones from two, since one of them
 * costs more than the server.
 */
async function beat(
  pid: number,
  port: number,
  how: Pick<BeatsPlan, "connections" | "keepAlive"> & Partial<Pick<BeatsPlan, "asksLease">> & { isBare?: true },
): Promise<void> {
  const { connections, keepAlive, asksLease = false, isBare = false } = how;
  const clients = keepAlive ? 1 : 2;
  const each = Math.ceil(beats / clients / (keepAlive && !asksLease ? 1 : 5));
  const common = { port, machines, keepAlive, asksLease, counter, isAwake: keepAlive };
  const plan = (first: number): BeatsPlan => {
    return { ...common, first, step: clients, count: each, connections: connections / clients };
  };
  const before = cpuSeconds(pid);
  const numbers = Array.from({ length: clients }, (_, first) => first);
  const parts = await Promise.all(numbers.map((first) => client<BeatsFigures>("beats", plan(first))));
  const cpu = cpuSeconds(pid) - before;
  counter += Math.ceil(each / Math.max(1, Math.floor(machines / clients)));
  const heard = parts.reduce((sum, part) => sum + part.heard, 0);
  // Each begins when it is ready: their rates are added.
  const perSecond = parts.reduce((sum, part) => sum + (part.heard / part.elapsedMs) * 1000, 0);
  const kind = `${keepAlive ? "kept" : "one each"}${asksLease ? ", asking for the lease" : ""}${isBare ? ", to a bare server" : ""}`;
  tell(`heartbeats, ${connections} connections, ${kind}`, {
    heard,
    perSecond,
    perCpuSecond: heard / cpu,
    p50Ms: Math.max(...parts.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...parts.map(({ p99Ms }) => p99Ms)),
  });
}

async function openSessions(pid: number, plan: SessionsPlan): Promise<void> {
  const before = cpuSeconds(pid);
  const { opened, elapsedMs, ownCpuMs } = await client<SessionsFigures>("sessions", plan);
  const cpu = cpuSeconds(pid) - before;
  const perSecond = (opened / elapsedMs) * 1000;
  tell("sessions", { opened, perSecond, perCpuSecond: opened / cpu, clientCpuMsEach: ownCpuMs / opened });
}

async function powerCut(pid: number, plan: CrowdPlan): Promise<void> {
  const before = cpuSeconds(pid);
  const half = Math.ceil(plan.paths.length / 2);
  const parts = await Promise.all(
    [plan.paths.slice(0, half), plan.paths.slice(half)].map((paths) =>
      client<CrowdFigures>("crowd", { ...plan, paths, connections: plan.connections / 2 }),
    ),
  );
  const cpu = cpuSeconds(pid) - before;
  const released = parts.reduce((sum, part) => sum + part.released, 0);
  const lastS = Math.max(...parts.map(({ lastMs }) => lastMs)) / 1000;
  tell("all ask at once", {
    released,
    again: parts.reduce((sum, part) => sum + part.again, 0),
    lastS,
    p50S: Math.max(...parts.map(({ p50Ms }) => p50Ms)) / 1000,
    p99S: Math.max(...parts.map(({ p99Ms }) => p99Ms)) / 1000,
    perSecond: released / lastS,
    perCpuSecond: released / cpu,
  });
  if (released !== plan.paths.length) throw new Error(`${released} of ${plan.paths.length} were released`);
}

async function client<Figures>(name: "beats" | "crowd" | "sessions", plan: object): Promise<Figures> {
  const program = join(import.meta.dirname, "fleet", `${name}.ts`);
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(plan));
  return (await json(child.stdout)) as Figures;
}

/** The thumbprint of the server's identity. */
function serverOf(folder: string): string {
  const database = new Database(storePath(folder), { readonly: true });
  const { identity } = database.prepare("select identity from store").get() as { identity: string };
  database.close();
  return thumbprintOf({ kty: "OKP", crv: "Ed25519", x: identity });
}

/** Each machine that asked has one entry, and the log's last checkpoint is over all of them. */
function receiptsIn(folder: string): object {
  const database = new Database(storePath(folder), { readonly: true });
  const latches = new Set<string>();
  let range: CompactRange = EMPTY_RANGE;
  let releases = 0;
  for (const { body } of database.prepare("select body from entry order by number").iterate() as Iterable<{
    body: Buffer;
  }>) {
    range = append(range, hashLeaf(body));
    const { kind, latch } = JSON.parse(String(body)) as { kind: string; latch?: string };
    if (kind !== "release" || latch === undefined) continue;
    releases++;
    latches.add(latch);
  }
  const last = database.prepare("select size, root from checkpoint order by size desc limit 1").get() as {
    size: number;
    root: Buffer;
  };
  database.close();
  const isWhole = last.size === range.size && last.root.equals(rootOf(range));
  const isComplete = isWhole && latches.size === asking;
  if (!isComplete) throw new Error(`receipts of ${latches.size} of ${asking} machines; the log is whole: ${isWhole}`);
  return { releases, machines: latches.size, entries: range.size, complete: isComplete };
}

function memoryOf(pid: number): object {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024;
  return { residentMiB: mib("VmRSS"), peakMiB: mib("VmHWM") };
}

/** fping as Mandos's server starts it, without that server, of an address that answers. */
async function mandos(): Promise<object> {
  if (!existsSync(FPING)) return { notMeasured: "fping is not installed (apt-get install fping)" };
  const before = cpuSeconds(process.pid);
  const startMs = performance.now();
  let checks = 0;
  const check = async () => {
    while (performance.now() - startMs < CHECKS_MS) {
      const child = spawn(FPING, ["-q", "--", "127.0.0.1"], { stdio: "ignore" });
      const [status] = await once(child, "exit");
      if (status !== 0) throw new Error(`fping ended with ${status}`);
      checks++;
    }
  };
  await Promise.all(Array.from({ length: 8 }, check));
  const cpu = cpuSeconds(process.pid) - before;
  const perSecond = (checks / (performance.now() - startMs)) * 1000;
  const machinesAtMost = perSecond * MANDOS_INTERVAL_S;
  return { checks, perSecond, perCpuSecond: checks / cpu, machinesAtMost };
}
