/**
 * Releases per second and per CPU-second of the server's own, with durable receipts, beside tangd
 * on the same machine in the same run, and beside OpenSSL's bare exchange as the limit. What is
 * compared takes turns, so that the machine's other work falls on all alike; medians over the
 * rounds are shown. usage: bench/release [--rounds N] [--seconds N] [--json] [--policies [--before
 * FOLDER]]. With --policies: releases under each policy beside `always`, and beside the server of
 * the checkout in FOLDER, in place of the rest. Each round sets a policy beside the `always` of the
 * same round; the medians of these ratios are what a policy costs.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { cpuSeconds } from "./fleet/cpu.ts";
import { type BenchPolicy, govern, POLICIES, policyOf } from "./fleet/govern.ts";
import type { LoadFigures, LoadPlan } from "./fleet/load.ts";
import { type Peer, rawRate, startOurs, startTang } from "./fleet/peers.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    json: { type: "boolean" },
    policies: { type: "boolean" },
    before: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;

/** One latch is released 120 times at most before its pace slows it. */
const LATCHES = 3072;
const LATCHES_OF_A_POLICY = 2048;

interface Figures {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

if (values.policies === true) {
  await comparePolicies();
  process.exit(0);
}
await using ours = await startOurs(LATCHES);
await using tang521 = await startTang("P-521");
await using tang256 = await startTang("P-256");

const contest: readonly (readonly [name: string, peer: Peer, connections: number, keepAlive: boolean])[] = [
  ["nightlatch, connections kept", ours, 1, true],
  ["nightlatch, connections kept", ours, 8, true],
  ["nightlatch, connections kept", ours, 32, true],
  ["nightlatch, connections kept", ours, 128, true],
  ["nightlatch, a connection each", ours, 8, false],
  ["nightlatch, a connection each", ours, 32, false],
  ["tangd, P-521 (its own keys)", tang521, 1, false],
  ["tangd, P-521 (its own keys)", tang521, 8, false],
  ["tangd, P-256 key put there", tang256, 8, false],
];
const raw: number[] = [];
const found = contest.map((): Figures[] => []);
for (let round = -1; round < rounds; round++) {
  if (round >= 0) raw.push(rawRate());
  for (const [index, [, peer, connections, keepAlive]] of contest.entries()) {
    const figures = await measure(peer, connections, keepAlive, round < 0 ? durationMs / 3 : durationMs);
    if (round >= 0) found[index]?.push(figures); // the first round warms up
  }
}

const limit = median(raw);
const rows = contest.map(([server, , connections], index) => ({ server, connections, ...middle(found[index] ?? []) }));
if (values.json === true) process.stdout.write(`${JSON.stringify({ rounds, durationMs, openssl: limit, rows })}\n`);
else print();

async function measure(peer: Peer, connections: number, keepAlive: boolean, runMs: number): Promise<Figures> {
  const { host, port, paths, bodies } = peer;
  const before = cpuSeconds(peer.pid);
  const figures = await load({ host, port, paths: rotated(paths), bodies, connections, durationMs: runMs, keepAlive });
  const cpu = cpuSeconds(peer.pid) - before;
  if (figures.failed > 0) throw new Error(`${figures.failed} requests failed, the first: ${figures.failure}`);
  const { released, elapsedMs, p50Ms, p99Ms } = figures;
  return { perSecond: (released / elapsedMs) * 1000, perCpuSecond: released / cpu, p50Ms, p99Ms };
}

/** Another beginning for each run, so that no latch is asked more often than the others. */
function rotated(paths: readonly string[]): string[] {
  const start = Math.floor(Math.random() * paths.length);
  return [...paths.slice(start), ...paths.slice(0, start)];
}

async function load(plan: LoadPlan): Promise<LoadFigures> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "fleet/load.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify(plan));
  return (await json(child.stdout)) as LoadFigures;
}

/** Releases under each policy by one server, and by that of another checkout, in turns. */
async function comparePolicies(): Promise<void> {
  const connections = 32;
  const paths = new Map<BenchPolicy, string[]>(POLICIES.map((policy) => [policy, []]));
  await using ours = await startOurs(POLICIES.length * LATCHES_OF_A_POLICY, {
    onMachine: async (served, machine) => {
      const policy = policyOf(machine.number);
      await govern(served, machine, policy);
      paths.get(policy)?.push(...machine.paths);
    },
  });
  const former = values.before === undefined ? null : join(values.before, "bin/nightlatch");
  await using before = former === null ? null : await startOurs(LATCHES_OF_A_POLICY, { command: former });
  const entrants = [
    ...POLICIES.map((policy) => ({ name: policy as string, peer: { ...ours, paths: paths.get(policy) ?? [] } })),
    ...(before === null ? [] : [{ name: `the server in ${values.before}`, peer: before as Peer }]),
  ];
  const all = entrants.map((): Figures[] => []);
  for (let round = -1; round < rounds; round++) {
    // Each round begins with another one, so that none always comes after the same.
    for (let turn = 0; turn < entrants.length; turn++) {
      const index = (turn + Math.max(0, round)) % entrants.length;
      const entrant = entrants[index];
      if (entrant === undefined) continue;
      const figures = await measure(entrant.peer, connections, true, round < 0 ? durationMs / 3 : durationMs);
      if (round >= 0) all[index]?.push(figures);
    }
  }
  const [plain = []] = all;
  const rows = entrants.map(({ name }, index) => {
    const own = all[index] ?? [];
    // CPU time for each release, over that of `always` in the same round.
    const costs = own.map(({ perCpuSecond }, round) => (plain[round]?.perCpuSecond ?? Number.NaN) / perCpuSecond);
    return { policy: name, ...middle(own), cost: median(costs), least: Math.min(...costs), most: Math.max(...costs) };
  });
  if (values.json === true) process.stdout.write(`${JSON.stringify({ rounds, durationMs, connections, rows })}\n`);
  else {
    console.log("| policy | releases/s | per CPU-second | CPU time × always | least | most |");
    console.log("|---|---|---|---|---|---|");
    for (const { policy, perSecond, perCpuSecond, cost, least, most } of rows) {
      const ratios = [cost, least, most].map((ratio) => ratio.toFixed(3));
      console.log(`| ${[policy, perSecond.toFixed(0), perCpuSecond.toFixed(0), ...ratios].join(" | ")} |`);
    }
  }
}

function middle(all: readonly Figures[]): Figures {
  const of = (member: keyof Figures) => median(all.map((figures) => figures[member]));
  return { perSecond: of("perSecond"), perCpuSecond: of("perCpuSecond"), p50Ms: of("p50Ms"), p99Ms: of("p99Ms") };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

function print(): void {
  const tang = Math.max(
    ...rows.filter(({ server }) => server.startsWith("tangd, P-521")).map((row) => row.perCpuSecond),
  );
  console.log(`openssl speed ecdhp256, the limit: ${limit.toFixed(0)} a CPU-second\n`);
  console.log("| server | connections | releases/s | per CPU-second | of the limit | × tangd | p50 ms | p99 ms |");
  console.log("|---|---|---|---|---|---|---|---|");
  for (const { server, connections, perSecond, perCpuSecond, p50Ms, p99Ms } of rows) {
    const share = `${((100 * perCpuSecond) / limit).toFixed(0)} %`;
    const cells = [perSecond.toFixed(0), perCpuSecond.toFixed(0), share, (perCpuSecond / tang).toFixed(1)];
    console.log(`| ${[server, connections, ...cells, p50Ms.toFixed(1), p99Ms.toFixed(1)].join(" | ")} |`);
  }
}
