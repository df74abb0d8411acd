/**
 * What heartbeats cost: script/node --expose-gc bench/heartbeats.ts [MACHINES [SECONDS]]. The
 * server's part in this process, without HTTP: sessions for so many machines, their memory, and
 * heartbeats that are verified and answered. Beside it bare HMACs, which are the machine's limit.
 * Then the sender as a process of its own, against a real server. No peer: Mandos's server starts a
 * program for each check, which cannot be had without root and a network.
 */

import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildHeartbeat } from "../src/formats/own/heartbeat.ts";
import { parseInvite } from "../src/formats/own/invite.ts";
import { enrolMachine } from "../src/pins/latch/enrol.ts";
import { begun } from "../src/server/policy/alive.ts";
import { assembleService } from "../src/server/service/assemble.ts";
import { takeHeartbeat } from "../src/server/service/heartbeats.ts";
import { PULSE_BYTES } from "../src/server/service/pulses.ts";
import type { Service } from "../src/server/service/service.ts";
import { openFolder } from "../src/server/store/folder/folder.ts";
import { nodeSystem } from "../src/system/node.ts";
import { COMMAND, serve } from "../test/support/serve.ts";
import { cpuSeconds } from "./fleet/cpu.ts";

const [machines = 1_000_000, seconds = 60] = process.argv.slice(2).map(Number);
const BEATS = 200_000;
const INTERVAL_S = 5;
const FROM = "192.0.2.1";
const TAG = Buffer.from("0badcafe", "hex");

const home = mkdtempSync(join(tmpdir(), "nightlatch-heartbeats-"));
try {
  await measureServer(join(home, "data"));
  await measureSender(join(home, "served"));
} finally {
  rmSync(home, { recursive: true, force: true });
}

async function measureServer(folder: string): Promise<void> {
  const opened = await openFolder(nodeSystem, folder, { uid: process.geteuid?.() ?? 0 });
  const service = assembleService(nodeSystem, opened);
  const before = memoryBytes();
  fill(service);
  const bytes = (memoryBytes() - before) / machines;
  console.log(`${machines} machines: ${bytes.toFixed(0)} bytes each, ${PULSE_BYTES} of them in pages`);
  const { pulses } = service;
  const numbers = Array.from({ length: BEATS }, (_, index) => (index * 7919) % machines);
  const beats = numbers.map((number, index) => {
    const counter = 1 + Math.floor(index / machines);
    return buildHeartbeat(Buffer.from(pulses.keyOf(number)), pulses.nameSession(number, TAG), counter);
  });
  const limit = perCpuSecond(BEATS, () => {
    for (const beat of beats) createHmac("sha256", beat.subarray(0, 32)).update(beat).digest();
  });
  const start = process.cpuUsage();
  let heard = 0;
  for (const beat of beats) if ("answer" in (await takeHeartbeat(service, beat, FROM))) heard++;
  const rate = heard / ((process.cpuUsage(start).user + process.cpuUsage(start).system) / 1e6);
  console.log(`bare HMACs: ${limit.toFixed(0)} per CPU-second`);
  console.log(
    `heartbeats verified and answered: ${heard} of ${BEATS}, ${rate.toFixed(0)} per CPU-second, two HMACs each`,
  );
  const due = perCpuSecond(1, () => service.pulses.due(0, 1));
  console.log(`one look for machines that are gone: ${(1000 / due).toFixed(1)} ms`);
  await opened.store.close();
}

function fill({ pulses }: Service): void {
  const nowMs = nodeSystem.monotonicMs();
  for (let count = 0; count < machines; count++) {
    const number = pulses.add(randomBytes(32).toString("base64url"));
    pulses.open(number, pulses.nameSession(number, TAG), randomBytes(32), FROM);
    pulses.setPulse(number, { ...begun(3_600_000, nowMs), openUntilMs: nowMs });
  }
  pulses.listenedMs = nodeSystem.monotonicMs();
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
