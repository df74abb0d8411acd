/**
 * Releases per second and per CPU-second of the server's own, with durable receipts, beside tangd on the same machine in the same
 * run, and beside OpenSSL's bare exchange as the limit. usage: script/node bench/release.ts [--seconds N] [--json]
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { cpuSeconds } from "./release/cpu.ts";
import type { LoadFigures, LoadPlan } from "./release/load.ts";
import { type Peer, rawRate, startOurs, startTang } from "./release/peers.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" }, json: { type: "boolean" } } });
const durationMs = Number(values.seconds) * 1000;

interface Row {
  readonly server: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

const rows: Row[] = [];
const raw = rawRate("ecdhp256");
{
  await using ours = await startOurs(4096);
  await measure("warming up", ours, 32, true, 2000);
  for (const connections of [1, 8, 32, 128])
    rows.push(await measure("nightlatch, kept alive", ours, connections, true));
  rows.push(await measure("nightlatch, connection per request", ours, 32, false));
}
for (const curve of ["P-521", "P-256"] as const) {
  await using tang = await startTang(curve);
  for (const connections of [1, 8]) {
    rows.push(await measure(`tangd, ${curve}, connection per request`, tang, connections, false));
  }
}
if (values.json === true) process.stdout.write(`${JSON.stringify({ raw, rows })}\n`);
else print();

async function measure(
  server: string,
  peer: Peer,
  connections: number,
  keepAlive: boolean,
  ms = durationMs,
): Promise<Row> {
  const { host, port, paths, bodies } = peer;
  const before = cpuSeconds(peer.pid);
  const figures = await load({ host, port, paths: rotated(paths), bodies, connections, durationMs: ms, keepAlive });
  const cpu = cpuSeconds(peer.pid) - before;
  if (figures.failed > 0) process.stderr.write(`${server}: ${figures.failed} failed, first: ${figures.failure}\n`);
  const { released, failed, p50Ms, p99Ms } = figures;
  const perSecond = (released / figures.elapsedMs) * 1000;
  return { server, connections, perSecond, perCpuSecond: released / cpu, p50Ms, p99Ms, failed };
}

/** Another beginning for each run, so that no latch is asked more often than the others. */
function rotated(paths: readonly string[]): string[] {
  const start = Math.floor(Math.random() * paths.length);
  return [...paths.slice(start), ...paths.slice(0, start)];
}

async function load(plan: LoadPlan): Promise<LoadFigures> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "release/load.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify(plan));
  return (await json(child.stdout)) as LoadFigures;
}

function print(): void {
  const tang = Math.max(
    ...rows.filter(({ server }) => server.startsWith("tangd, P-521")).map((row) => row.perCpuSecond),
  );
  console.log(`openssl speed ecdhp256: ${raw.toFixed(0)} a second, one core\n`);
  console.log("| server | connections | releases/s | per CPU-second | of raw P-256 | × tangd | p50 ms | p99 ms |");
  console.log("|---|---|---|---|---|---|---|---|");
  for (const row of rows) {
    const cells = [
      row.server,
      row.connections,
      row.perSecond.toFixed(0),
      row.perCpuSecond.toFixed(0),
      `${((100 * row.perCpuSecond) / raw).toFixed(0)} %`,
      (row.perCpuSecond / tang).toFixed(1),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
