/**
 * From a binding to what it seals, by the machine's TPM: `clevis decrypt`, our own opening in a
 * process that runs, and how much of that the chip itself takes, which is a software TPM here. What
 * is compared takes turns, so that the machine's other work falls on all alike. Needs the packages
 * clevis-tpm2, swtpm and tpm2-tools. usage: script/node bench/tpm2.ts [--rounds N]
 */
import { spawnSync } from "node:child_process";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { parseCompactJwe } from "../src/formats/jose/jwe.ts";
import { recoverSecret } from "../src/pins/recover.ts";
import { nodeSystem } from "../src/system/node.ts";
import type { System } from "../src/system/port.ts";
import { startSwtpm } from "../test/support/tpm/swtpm.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);
if (!(rounds >= 1 && rounds <= 1000)) throw new RangeError("--rounds is a number from 1 to 1000");

await using chip = await startSwtpm();
process.env["TPM2TOOLS_TCTI"] = chip.tcti;
const configuration = JSON.stringify({ pcr_bank: "sha256", pcr_ids: "7" });
const text = chip.run(["clevis", "encrypt", "tpm2", configuration], "secret").toString("latin1");
const jwe = parseCompactJwe(text);

/** What passed while the chip had the word. */
let chipMs = 0;
const openTpm: System["openTpm"] = async (limits) => {
  const connection = await nodeSystem.openTpm(limits);
  return {
    transmit: async (command) => {
      const startMs = performance.now();
      const answer = await connection.transmit(command);
      chipMs += performance.now() - startMs;
      return answer;
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
};

const tookMs: Record<"clevis decrypt" | "ours, warm" | "of that the chip", number[]> = {
  "clevis decrypt": [],
  "ours, warm": [],
  "of that the chip": [],
};
for (let round = -1; round < rounds; round++) {
  let startMs = performance.now();
  const decrypted = spawnSync("clevis", ["decrypt"], { input: text });
  const clevisMs = performance.now() - startMs;
  if (String(decrypted.stdout) !== "secret") throw new Error(String(decrypted.stderr));
  chip.flush();
  chipMs = 0;
  startMs = performance.now();
  using secret = await recoverSecret({ ...nodeSystem, openTpm }, jwe, { timeoutMs: 60_000 });
  const oursMs = performance.now() - startMs;
  if (secret.reveal().toString() !== "secret") throw new Error("another secret");
  if (round < 0) continue; // it fills caches
  tookMs["clevis decrypt"].push(clevisMs);
  tookMs["ours, warm"].push(oursMs);
  tookMs["of that the chip"].push(chipMs);
}

const quantile = (of: number[], part: number) => of.toSorted((a, b) => a - b)[Math.floor(of.length * part)] ?? 0;
console.log(`rounds: ${rounds}; load: ${loadavg().map((load) => load.toFixed(1))}`);
for (const [name, times] of Object.entries(tookMs)) {
  const [least, median, most] = [0, 0.5, 0.9].map((part) => quantile(times, part).toFixed(1));
  console.log(`${name.padEnd(20)} least ${least} ms, median ${median} ms, 90 % within ${most} ms`);
}
const faster = quantile(tookMs["clevis decrypt"], 0.5) / quantile(tookMs["ours, warm"], 0.5);
console.log(`by medians ours is ${faster.toFixed(0)} times faster`);
