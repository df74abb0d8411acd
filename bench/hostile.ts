/**
 * What strangers can keep from everybody else: a server of ours under one flood after the other,
 * with machines that mean it and an operator beside it. All of it on this machine. usage:
 * bench/hostile [--seconds N] [--only FLOOD] [--json]
 */
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Secret } from "../src/core/secret.ts";
import { buildEnrolRequest } from "../src/formats/own/enrolment.ts";
import { nightlatch } from "../test/support/serve.ts";
import { enrolAt } from "../test/support/server/client.ts";
import { startOurs } from "./fleet/peers.ts";
import type { AttackFigures, AttackPlan } from "./siege/attack.ts";
import type { ClientsFigures, ClientsPlan } from "./siege/clients.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    only: { type: "string" },
    json: { type: "boolean" },
  },
});
const seconds = Number(values.seconds);

/** Of machines that mean it; none is asked for so often that receipts are shared. */
const LATCHES = 64;
const UNKNOWN = "/latch/AAAAAAAAAAAAAAAAAAAAAA/rec/AAAA";
const SLASH_64 = Array.from({ length: 65_000 }, (_, index) => `fd99::${(index + 16).toString(16)}`);
const V6 = "fd99::1";

interface Flood extends Pick<AttackPlan, "kind" | "connections" | "rate" | "sources"> {
  readonly name: string;
  readonly isKnown?: boolean;
  readonly host?: string;
  /** What is asked for, in the place of a recovery. */
  readonly asks?: { readonly path: string; readonly body: string };
}

/**
 * A new machine with an invite that nobody made: its signature is sound, and checking it is all
 * that the server can do.
 */
const enrolment = buildEnrolRequest(
  generateKeyPairSync("ed25519").privateKey,
  { id: randomBytes(16).toString("base64url"), key: Secret.copy(randomBytes(32)) },
  { nonce: randomBytes(16), volume: "7d5b2c1e" },
).toString("latin1");

const floods: readonly Flood[] = [
  { name: "none", kind: "none", connections: 0 },
  { name: "pipelined, never read", kind: "pipelined", connections: 100, isKnown: true },
  { name: "4 MB/s, known latch", kind: "sustained", connections: 100, rate: 4e6, isKnown: true },
  { name: "4 MB/s, made-up latch", kind: "sustained", connections: 100, rate: 4e6 },
  { name: "as fast as it goes, made-up latch", kind: "sustained", connections: 50 },
  {
    name: "as fast as it goes, enrolments with made-up invites",
    kind: "sustained",
    connections: 50,
    asks: { path: "/enroll", body: enrolment },
  },
  { name: "a connection each, made-up latch", kind: "churning", connections: 200 },
  { name: "a connection each, GET /healthz", kind: "churning", connections: 200, asks: { path: "/healthz", body: "" } },
  { name: "one-byte chunks", kind: "chunks", connections: 300 },
  { name: "slowloris", kind: "slowloris", connections: 3000 },
  { name: "connections of an IPv6 /64", kind: "holding", connections: 5000, sources: SLASH_64, host: V6 },
];

// A namespace of its own has lo alone.
const hasNetwork = Object.values(networkInterfaces()).length <= 1;
const rows: Row[] = [];
for (const flood of floods) {
  if (values.only !== undefined && values.only !== flood.name) continue;
  if (flood.host !== undefined && !hasNetwork) {
    console.error(`${flood.name}: left out, it needs a network namespace (root)`);
    continue;
  }
  rows.push(await measure(flood));
}
if (values.json === true) process.stdout.write(`${JSON.stringify({ seconds, rows })}\n`);
else print();

interface Row {
  readonly flood: string;
  /** From another network than the flood. */
  readonly others: ClientsFigures;
  /** From the flood's own network, but another address of it where it has IPv4. */
  readonly neighbours: ClientsFigures;
  /** The longest of some, at the operators' door. */
  readonly revokeMs: number;
  /** By the command, which Node has to start for first. */
  readonly commandMs: number;
  readonly peakMiB: number;
  readonly attack: AttackFigures;
}

async function measure(flood: Flood): Promise<Row> {
  await using server = await startOurs(LATCHES, flood.host === undefined ? {} : { args: ["--listen", "[::]:0"] });
  const { served, paths, bodies, port } = server;
  const target = await enrolAt(served, "target");
  const revoked = [];
  for (let index = 0; index < seconds / 2; index++) {
    revoked.push(`spare-${index}`);
    await enrolAt(served, `spare-${index}`);
  }
  const host = flood.host ?? "127.0.0.1";
  const recovery = { path: flood.isKnown === true ? target.recovery : UNKNOWN, body: bodies[0] ?? "" };
  const { name, isKnown: _, asks = recovery, ...kind } = flood;
  const plan: AttackPlan = { ...kind, ...asks, host, port, seconds };
  const ask = (from: string, sources: readonly string[]): Promise<ClientsFigures> =>
    run<ClientsPlan, ClientsFigures>("clients", { host: from, port, seconds: seconds - 2, paths, bodies, sources });
  const attacking = run<AttackPlan, AttackFigures>("attack", plan);
  await wait(1000); // the flood is under way
  const neighbours = flood.host === undefined ? ["127.0.0.77"] : ["fd99::2"];
  const asking = Promise.all([ask("127.0.0.1", ["127.9.1.1", "127.9.2.1", "127.9.3.1"]), ask(host, neighbours)]);
  const [last, ...spares] = revoked;
  let revokeMs = 0;
  for (const spare of spares) {
    revokeMs = Math.max(revokeMs, await timed(() => administer(served.admin, `machines/${spare}/revoke`)));
    await wait(500);
  }
  const command = ["machine", "revoke", String(last), "--yes", "--admin", served.admin];
  const commandMs = await timed(async () => {
    const { status, stderr } = await nightlatch(...command);
    if (status !== 0) throw new Error(stderr);
  });
  const [others, near] = await asking;
  const peakMiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]) / 1024;
  return { flood: name, others, neighbours: near, revokeMs, commandMs, peakMiB, attack: await attacking };
}

async function run<P, F>(script: "attack" | "clients", plan: P): Promise<F> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "siege", `${script}.ts`)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify(plan));
  return (await json(child.stdout)) as F;
}

function administer(socketPath: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method: "POST", path: `/api/v1/${path}` }, (answer) => {
      answer.resume();
      answer.on("end", () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`${path}: ${answer.statusCode}`)),
      );
    });
    asked.on("error", reject);
    asked.end();
  });
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function print(): void {
  console.log(
    "| flood | of it answered | machines elsewhere | p50 ms | p99 ms | in its network | p99 ms | revoke ms | by command ms | peak MiB |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  for (const { flood, others, neighbours, revokeMs, commandMs, peakMiB, attack } of rows) {
    const answered = Object.entries(attack.answers).map(([status, count]) => `${count} × ${status}`);
    const cells = [
      flood,
      answered.join(", ") || `${attack.opened} connections`,
      share(others),
      others.p50Ms.toFixed(0),
      others.p99Ms.toFixed(0),
      share(neighbours),
      neighbours.p99Ms.toFixed(0),
      revokeMs.toFixed(0),
      commandMs.toFixed(0),
      peakMiB.toFixed(0),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

function share({ asked, released, failures }: ClientsFigures): string {
  const why = Object.entries(failures).map(([failure, count]) => `${count} ${failure}`);
  return `${((100 * released) / asked).toFixed(1)} % of ${asked}${why.length > 0 ? ` (${why.join(", ")})` : ""}`;
}
