/**
 * From the connection on the key socket to the key, cold (the connection starts the agent) and warm
 * (it runs), for each pin beside `clevis luks pass` on the same volume, server and chip in the same
 * run, and beside a bare start of Node as the limit. What is compared takes turns, so that the
 * machine's other work falls on all alike. The chip is a software TPM; its own time is told apart.
 * usage: script/node bench/unlock.ts [--rounds N] [--pin NAME]... [--json]
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { startTangd } from "../test/support/tangd.ts";
import { startSwtpm } from "../test/support/tpm/swtpm.ts";
import type { Cost } from "./unlock/cost.ts";
import {
  AGENTS,
  coldKey,
  costOfProgram,
  makeVolumes,
  must,
  PIN_NAMES,
  type PinName,
  ROOT,
  startOurServer,
  startWarmAgent,
} from "./unlock/parties.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "25" },
    pin: { type: "string", multiple: true, default: [...PIN_NAMES] },
    json: { type: "boolean" },
  },
});
const rounds = Number(values.rounds);
// A latch is released 120 times at once and then slower (src/server/policy/pace.ts): that would be
// measured in place of the agent.
if (!(rounds >= 1 && rounds <= 35)) throw new RangeError("--rounds is a number from 1 to 35");

must([`${ROOT}/script/bundle`]);
await using chip = await startSwtpm();
process.env["TPM2TOOLS_TCTI"] = chip.tcti;
await using tangd = await startTangd();
await using server = await startOurServer();
const volumes = await makeVolumes(tangd.url, server.invite);
chip.flush();
await using warm = await startWarmAgent(chip);

/** Clevis has it from version 20 on; Debian 12 has 19. */
const clevisHas = (pin: PinName) => pin !== "pkcs11" || must(["sh", "-c", "clevis 2>&1 || :"]).includes("pkcs11");

const PEER = "clevis luks pass";
type Probe = () => Promise<Cost>;
const contest = new Map<string, Probe>([["node -e 0", () => costOfProgram([process.execPath, "-e", "0"], chip)]]);
for (const pin of PIN_NAMES.filter((name) => values.pin.includes(name))) {
  const peer = ["clevis", "luks", "pass", "-d", volumes[pin], "-s", "1"];
  if (clevisHas(pin)) contest.set(`${pin}: ${PEER}`, () => costOfProgram(peer, chip));
  contest.set(`${pin}: agent, cold`, () => coldKey(AGENTS.packaged, pin, chip));
  if (pin === "tang") contest.set("tang: agent, cold, from a checkout", () => coldKey(AGENTS.checkout, pin, chip));
  contest.set(`${pin}: agent, warm`, () => warm.ask(pin));
}

const costs = new Map<string, Cost[]>([...contest.keys()].map((name) => [name, []]));
for (let round = -1; round < rounds; round++) {
  for (const [name, probe] of contest) {
    const cost = await probe();
    if (round >= 0) costs.get(name)?.push(cost); // the first round fills caches
  }
}

interface Row {
  readonly name: string;
  readonly leastMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly medianCpuMs: number;
  /** Of the software TPM. */
  readonly medianChipMs: number;
  /**
   * How many times faster than clevis with the same binding in the same round, at the median; null
   * for clevis itself, and where it has no such pin.
   */
  readonly faster: number | null;
  /** The same of the processor time, without the chip's. */
  readonly fasterCpu: number | null;
}

const rows: Row[] = [...costs].map(([name, own]) => {
  const peers = name.includes(": agent") ? costs.get(`${name.split(":")[0]}: ${PEER}`) : undefined;
  const faster = (of: (cost: Cost) => number) =>
    peers === undefined
      ? null
      : quantile(
          own.map((cost, round) => of(peers[round] ?? cost) / of(cost)),
          0.5,
        );
  const wall = own.map(({ wallMs }) => wallMs);
  return {
    name,
    leastMs: quantile(wall, 0),
    medianMs: quantile(wall, 0.5),
    p90Ms: quantile(wall, 0.9),
    medianCpuMs: quantile(
      own.map(({ cpuMs }) => cpuMs),
      0.5,
    ),
    medianChipMs: quantile(
      own.map(({ chipMs }) => chipMs),
      0.5,
    ),
    faster: faster(({ wallMs }) => wallMs),
    fasterCpu: faster(({ cpuMs }) => cpuMs),
  };
});

if (values.json === true) console.log(JSON.stringify({ rounds, load: loadavg(), rows }));
else {
  console.log(
    `rounds: ${rounds}; load: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")}\n`,
  );
  console.log("| | least ms | median ms | p90 ms | × clevis | CPU ms | × clevis | the chip's ms |");
  console.log("|---|---|---|---|---|---|---|---|");
  for (const row of rows) {
    const [leastMs, medianMs, p90Ms, cpuMs] = [row.leastMs, row.medianMs, row.p90Ms, row.medianCpuMs].map((ms) =>
      ms.toFixed(1),
    );
    const [faster, fasterCpu] = [row.faster, row.fasterCpu].map((times) => times?.toFixed(1) ?? "");
    const chipMs = row.medianChipMs < 0.05 ? "" : row.medianChipMs.toFixed(1);
    console.log(`| ${[row.name, leastMs, medianMs, p90Ms, faster, cpuMs, fasterCpu, chipMs].join(" | ")} |`);
  }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
