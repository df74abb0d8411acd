/**
 * The real server, machines, operators and thieves on a clock, a network and a disk that a seed
 * decides. NIGHTLATCH_SEED runs one seed alone, and prints what came of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FAULTS_OF_RELEASES } from "./faults.ts";
import { FAULTS_OF_SITES } from "./faults-of-sites.ts";
import { FAULTS_OF_WAITING } from "./faults-of-waiting.ts";
import { FAULTS_OF_WITNESSES } from "./faults-of-witnesses.ts";
import { type Outcome, type Scale, simulate } from "./world.ts";

const MINUTE_MS = 60_000;
const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
const one = process.env["NIGHTLATCH_SEED"];

/** Crowded days: as much happens in one as in a week of others. */
const CROWDED = {
  machines: 4,
  days: full ? 15 : 3,
  haste: 8,
  timeoutsMs: [10 * MINUTE_MS, 30 * MINUTE_MS, 120 * MINUTE_MS, 720 * MINUTE_MS],
};
/** The same where all machines but one stand at one site, most of them under `alive`. */
const TOGETHER = { ...CROWDED, machines: 6, perSite: 5 };
/**
 * A hundred machines for 73 days, as most live: one goes down every five weeks. Of ten such worlds
 * half of the machines of one stand at sites.
 */
const QUIET = { machines: 100, days: 73, haste: 0.25, timeoutsMs: [1440 * MINUTE_MS] };
const quiet = (seed: number): Scale => ({ seed, ...QUIET, ...(seed % 10 === 0 ? { perSite: 5 } : {}) });

const FAULTS = [...FAULTS_OF_RELEASES, ...FAULTS_OF_WAITING, ...FAULTS_OF_SITES, ...FAULTS_OF_WITNESSES];
/** Within so many seeds each fault must be found, in so many days of one of them. */
const MOST_SEEDS = 20;
const FAULT_DAYS = full ? 15 : 2;

const told = ({ seed, digest, machineYears, requests, heartbeats, releases, crashes, violation }: Outcome): string =>
  `seed ${seed}: ${machineYears.toFixed(2)} machine-years, ${requests} requests, ${heartbeats} heartbeats, ${releases} releases, ` +
  `${crashes} crashes, ${digest} ${violation?.message ?? ""}`;

async function run(scale: Scale): Promise<Outcome> {
  const outcome = await simulate(scale);
  assert.equal(outcome.violation, null, told(outcome));
  return outcome;
}

if (one !== undefined) {
  test(`seed ${one}`, async (context) => {
    context.diagnostic(told(await run({ seed: Number(one), ...CROWDED })));
  });
} else {
  test("a seed says all that happens, to the byte", async (context) => {
    const outcome = await run({ seed: 1, ...CROWDED });
    assert.equal((await run({ seed: 1, ...CROWDED })).digest, outcome.digest);
    const other = await run({ seed: 2, ...CROWDED });
    assert.notEqual(other.digest, outcome.digest);
    assert.ok(outcome.releases > 3 && outcome.crashes > 0, told(outcome));
    assert.ok(other.heartbeats > 0, told(other));
    context.diagnostic(told(outcome));
    context.diagnostic(told(other));
  });

  test("whatever goes wrong, nothing is released that must not be, and what may be is", async (context) => {
    const before = process.cpuUsage();
    let years = 0;
    const scales: Scale[] = full
      ? [
          ...Array.from({ length: 50 }, (_, index) => quiet(1001 + index)),
          ...Array.from({ length: 12 }, (_, index) => ({ seed: 1 + index, ...CROWDED })),
          ...Array.from({ length: 8 }, (_, index) => ({ seed: 1 + index, ...TOGETHER })),
        ]
      : [
          { seed: 3, ...CROWDED, days: 1 },
          { seed: 1, ...TOGETHER, days: 1 },
        ];
    for (const scale of scales) {
      const outcome = await run(scale);
      years += outcome.machineYears;
    }
    if (full) assert.ok(years >= 1000);
    const { user, system } = process.cpuUsage(before);
    const rate = (years * 1e6) / (user + system);
    context.diagnostic(`${years.toFixed(2)} machine-years, ${rate.toFixed(2)} for each second of one core`);
  });

  for (const fault of full ? FAULTS : FAULTS.filter(({ isQuick }) => isQuick === true)) {
    test(`a fault is found: ${fault.name}`, async (context) => {
      const scale = fault.isOfSites === true ? TOGETHER : CROWDED;
      for (let seed = 1; seed <= MOST_SEEDS; seed++) {
        const outcome = await simulate({ seed, ...scale, days: FAULT_DAYS, fault });
        if (outcome.violation === null) continue;
        assert.ok(fault.breaks.includes(outcome.violation.invariant), told(outcome));
        context.diagnostic(told(outcome));
        return;
      }
      assert.fail(`not found within ${MOST_SEEDS} seeds`);
    });
  }
}
