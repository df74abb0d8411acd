/**
 * How long it takes from the moment in which a running machine hears that it is locked until its
 * volume stands still and its tether has proved that the kernel has no key of it. The machine is a
 * guest that counts its time in instructions (QEMU's -icount, a nanosecond each), so what else the
 * host does changes nothing: it is one that executes a billion instructions a second. While it
 * waits its clock is the host's. usage: bench/tether.ts [--rounds N] [--suite bookworm|trixie]
 */
import { parseArgs } from "node:util";
import type { Suite } from "../test/guest/harness/recipe.ts";
import { startTethered } from "../test/guest/harness/tethered.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, suite: { type: "string", default: "bookworm" } },
});
const DEADLINE_MS = 1_800_000;

await using tethered = await startTethered(values.suite as Suite, {
  extra: ["-icount", "shift=0,sleep=on"],
  deadlineMs: DEADLINE_MS,
});
const { machine, server } = tethered;
await machine.must("(while sleep 0.1; do date >> /srv/log; done) > /dev/null 2>&1 &");
const taken: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  await server.machine("lock", "nas");
  await tethered.stands(round);
  taken.push(await tethered.tookMs());
  console.log(`round ${round}: ${taken.at(-1)} ms`);
  await tethered.resumeByPassphrase();
  await server.machine("unlock", "nas");
  await tethered.isWell();
  await tethered.hears();
}
taken.sort((a, b) => a - b);
console.log(
  `ms from the lock to the proof: least ${taken[0]}, median ${taken[taken.length >> 1]}, most ${taken.at(-1)}`,
);
