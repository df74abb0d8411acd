/**
 * What heartbeats cost: script/node --expose-gc bench/heartbeats.ts [MACHINES [SECONDS]]. The
 * server's part in this process, without HTTP: a start with so many machines under `alive`, their
 * memory, sessions for them, and heartbeats that are verified and answered. Beside it bare HMACs,
 * as node:crypto gives them. Then the sender as a process of its own, against a real server; not
 * where SECONDS is 0. No peer: Mandos's server starts a program for each check, which cannot be had
 * without root and a network.
 */

import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { buildHeartbeat, isHeartbeatOf } from "../src/formats/own/heartbeat.ts";
import { parseInvite } from "../src/formats/own/invite.ts";
import { enrolMachine } from "../src/pins/latch/enrol.ts";
import { begun } from "../src/server/policy/alive.ts";
import { resumePulses } from "../src/server/service/alive/alive.ts";
import { takeHeartbeat } from "../src/server/service/alive/heartbeats.ts";
import { assembleService } from "../src/server/service/assemble.ts";
import { PULSE_BYTES } from "../src/server/service/memory/pulses.ts";
import type { Service } from "../src/server/service/service.ts";
import { openFolder } from "../src/server/store/folder/folder.ts";
import { nodeSystem } from "../src/system/node.ts";
import { COMMAND, serve } from "../test/support/serve.ts";
import { cpuSeconds } from "./fleet/cpu.ts";

const [machines = 1_000_000, seconds = 60] = process.argv.slice(2).map(Number);
const BEATS = 200_000;
const INTERVAL_S = 5;
const TIMEOUT_MS = 3_600_000;
const ROUNDS = 3;
const TAG = Buffer.from("0badcafe", "hex");

const home = mkdtempSync(join(tmpdir(), "nightlatch-heartbeats-"));
try {
  await measureServer(join(home, "data"));
  if (seconds > 0) await measureSender(join(home, "served"));
} finally {
  rmSync(home, { recursive: true, force: true });
}

async function measureServer(folder: string): Promise<void> {
  const uid = process.geteuid?.() ?? 0;
  await (await openFolder(nodeSystem, folder, { uid })).store.close();
  enterMachines(join(folder, "store.sqlite"));
  const before = memoryBytes();
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  const opened = await openFolder(nodeSystem, folder, { uid });
  const service = assembleService(nodeSystem, opened);
  await resumePulses(service);
  const [tookMs, used] = [performance.now() - startMs, process.cpuUsage(startCpu)];
  const cpu = ((used.user + used.system) / 1e6).toFixed(1);
  console.log(`a start with ${service.pulses.size} of them: ${(tookMs / 1000).toFixed(1)} s, ${cpu} CPU s`);
  openSessions(service);
  const bytes = (memoryBytes() - before) / machines;
  console.log(`memory: ${bytes.toFixed(0)} bytes each, ${PULSE_BYTES} of them in pages`);
  console.log(`all of this process: ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB resident`);
  for (let round = 0; round < ROUNDS; round++) measureBeats(service, round);
  const due = perCpuSecond(1, () => service.pulses.due(0, 1));
  console.log(`one look for machines that are gone: ${(1000 / due).toFixed(1)} ms`);
  await opened.store.close();
}

/** What is compared takes turns, since what else runs on the machine falls on all alike. */
function measureBeats(service: Service, round: number): void {
  const { pulses } = service;
  const perRound = Math.ceil(BEATS / machines);
  const numbers = Array.from({ length: BEATS }, (_, index) => (index * 7919) % machines);
  const sent = numbers.map((number, index) => {
    const counter = 1 + round * perRound + Math.floor(index / machines);
    const beat = buildHeartbeat(Buffer.from(pulses.keyOf(number)), pulses.nameSession(number, TAG), counter);
    return { number, beat, from: addressOf(number) };
  });
  const bare = perCpuSecond(BEATS, () => {
    for (const { beat } of sent) createHmac("sha256", beat.subarray(0, 32)).update(beat).digest();
  });
  let verified = 0;
  const verifying = perCpuSecond(BEATS, () => {
    for (const { number, beat } of sent) if (isHeartbeatOf(pulses.keyOf(number), beat)) verified++;
  });
  let heard = 0;
  const answering = perCpuSecond(BEATS, () => {
    for (const { beat, from } of sent) if ("answer" in takeHeartbeat(service, beat, from)) heard++;
  });
  if (verified !== BEATS || heard !== BEATS) throw new Error(`${verified} verified, ${heard} heard of ${BEATS}`);
  const told = [bare, verifying, answering].map((rate) => rate.toFixed(0));
  console.log(
    `per CPU-second: ${told[0]} bare HMACs; heartbeats: ${told[1]} verified, ${told[2]} verified and answered`,
  );
}

/** Puts machines under `alive` into a store, without a log of how they came there. */
function enterMachines(path: string): void {
  const database = new Database(path);
  const now = Date.now();
  const insert = database.prepare(
    `insert into machine (id, name, state, epoch, enrolled_ms, policy, leases,
       alive_timeout, alive_until, alive_saved, alive_made_at, alive_extended)
     values (?, ?, 'active', 1, ${now}, 'alive', 0, ${TIMEOUT_MS}, ${now + TIMEOUT_MS}, ${now}, 1, 0)`,
  );
  database.transaction(() => {
    for (let count = 0; count < machines; count++) insert.run(randomBytes(32).toString("base64url"), `m${count}`);
  })();
  database.close();
}

function openSessions({ pulses }: Service): void {
  const nowMs = nodeSystem.monotonicMs();
  for (let number = 0; number < machines; number++) {
    pulses.open(number, pulses.nameSession(number, TAG), randomBytes(32), addressOf(number));
    pulses.setPulse(number, { ...begun(TIMEOUT_MS, nowMs), openUntilMs: nowMs });
  }
  pulses.listenedMs = nodeSystem.monotonicMs();
}

function addressOf(number: number): string {
  return `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
}

function perCpuSecond(times: number, work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return times / ((user + system) / 1e6);
}

function memoryBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  return heapUsed + Math.max(arrayBuffers, external);
}

async function measureSender(folder: string): Promise<void> {
  await using server = await serve({ home: folder });
  const { invite } = await server.json("machine", "invite", "nas");
  const state = join(folder, "machine");
  await enrolMachine(nodeSystem, state, parseInvite(String(invite)), "v", { timeoutMs: 60_000 });
  const config = join(folder, "agent.toml");
  writeFileSync(config, `[heartbeat]\ninterval = "${INTERVAL_S}s"\n`);
  const child = spawn(COMMAND, ["heartbeat", "--state", state, "--config", config], { stdio: "ignore" });
  await nodeSystem.sleep(15_000);
  const before = cpuSeconds(child.pid ?? 0);
  await nodeSystem.sleep(seconds * 1000);
  const used = cpuSeconds(child.pid ?? 0) - before;
  const resident = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? "0";
  const perDay = (used / seconds) * 86_400;
  console.log(
    `the sender, a heartbeat every ${INTERVAL_S} s: ${used.toFixed(2)} CPU s in ${seconds} s, ${perDay.toFixed(0)} a day; ` +
      `at one a minute at most ${((perDay * INTERVAL_S) / 60).toFixed(0)} and what an idle Node takes; ${Math.round(Number(resident) / 1024)} MiB resident`,
  );
  child.kill("SIGTERM");
}
