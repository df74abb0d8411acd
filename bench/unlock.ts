/**
 * From the connection on the key socket to the key, cold (the connection starts the agent) and warm
 * (it runs), beside `clevis luks pass` on the same volume and server in the same run, and beside a
 * bare start of Node as the limit. What is compared takes turns, so that the machine's other work
 * falls on all alike. usage: script/node bench/unlock.ts [--rounds N] [--json]
 */
import { parseArgs } from "node:util";
import { startTangd } from "../test/support/tangd.ts";
import {
  AGENTS,
  coldKey,
  makeVolumes,
  must,
  ROOT,
  startOurServer,
  startWarmAgent,
  timeProgram,
} from "./unlock/parties.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "25" }, json: { type: "boolean" } } });
const rounds = Number(values.rounds);
// A latch is released 120 times at once and then slower (src/server/policy/pace.ts): that would be
// measured in place of the agent.
if (!(rounds >= 1 && rounds <= 35)) throw new RangeError("--rounds is a number from 1 to 35");

must([`${ROOT}/script/bundle`]);
await using tangd = await startTangd();
await using server = await startOurServer();
const volumes = makeVolumes(tangd.url, server.invite);
await using warm = await startWarmAgent();

const contest: Readonly<Record<string, () => Promise<number>>> = {
  "node -e 0": () => timeProgram([process.execPath, "-e", "0"]),
  "tang: clevis luks pass": () => timeProgram(["clevis", "luks", "pass", "-d", volumes.tang, "-s", "1"]),
  "tang: agent, cold": () => coldKey(AGENTS.packaged, "tang"),
  "tang: agent, cold, from a checkout": () => coldKey(AGENTS.checkout, "tang"),
  "tang: agent, warm": () => warm.ask("tang"),
  "latch: clevis luks pass": () => timeProgram(["clevis", "luks", "pass", "-d", volumes.latch, "-s", "1"]),
  "latch: agent, cold": () => coldKey(AGENTS.packaged, "latch"),
  "latch: agent, warm": () => warm.ask("latch"),
};

const tookMs = new Map<string, number[]>(Object.keys(contest).map((name) => [name, []]));
for (let round = -1; round < rounds; round++) {
  for (const [name, probe] of Object.entries(contest)) {
    const ms = await probe();
    if (round >= 0) tookMs.get(name)?.push(ms); // the first round fills caches
  }
}

interface Row {
  readonly name: string;
  readonly leastMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  /** How many times faster than clevis with the same server, by medians; null for clevis itself. */
  readonly faster: number | null;
}

const median = (name: string) => quantile(name, 0.5);
const rows: Row[] = Object.keys(contest).map((name) => ({
  name,
  leastMs: quantile(name, 0),
  medianMs: median(name),
  p90Ms: quantile(name, 0.9),
  faster: name.includes(": agent") ? median(`${name.split(":")[0]}: clevis luks pass`) / median(name) : null,
}));

if (values.json === true) console.log(JSON.stringify({ rounds, rows }));
else {
  console.log("| | least ms | median ms | p90 ms | × clevis |\n|---|---|---|---|---|");
  for (const { name, leastMs, medianMs, p90Ms, faster } of rows) {
    const figures = [leastMs, medianMs, p90Ms].map((ms) => ms.toFixed(1));
    console.log(`| ${name} | ${figures.join(" | ")} | ${faster === null ? "" : faster.toFixed(1)} |`);
  }
}

function quantile(name: string, part: number): number {
  const sorted = (tookMs.get(name) ?? []).toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
