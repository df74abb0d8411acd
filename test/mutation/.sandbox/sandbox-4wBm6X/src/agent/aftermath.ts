// @ts-nocheck
import { dirname } from "node:path";
import { isError, NightlatchError } from "../core/errors.ts";
import type { WitnessConfig } from "../formats/own/agent-config.ts";
import type { VolumeRecord } from "../formats/own/volume-record.ts";
import { refusalOf } from "../luks/bound/bound.ts";
import { type BoundPower, recordUse, type Use } from "../luks/bound/changes.ts";
import { readVolumeRecord } from "../luks/bound/records.ts";
import type { ReportPower } from "../pins/latch/report.ts";
import type { System } from "../system/port.ts";
import { delayAfterMs } from "./backoff.ts";

/**
 * What it takes to do what an answer leaves to be done, once the client has its key. Each such task
 * ends by itself, and early when the signal aborts.
 */
export type AftermathPower = BoundPower &
  ReportPower &
  Pick<System, "lock" | "stat" | "makeDirectory" | "sleep" | "monotonicMs" | "random">;

/** Where such a task works, and whom it tells. */
export interface Aftermath {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  readonly log: (level: "info" | "warning", text: string) => void;
}

/** At boot the root is read-only for a while, and /var may not be mounted yet. */
const RECORD_WITHIN_MS = 30_000;
const RECORD_AGAIN_MS = 2_000;
const TELL_WITHIN_MS = 60_000;
const ATTEMPT_MS = 10_000;

/**
 * Puts a volume that was opened on record: docs/format/bound.md. If it turns out to be another
 * volume, its server is told.
 */
export async function rememberUse(system: AftermathPower, use: Use, device: string, after: Aftermath): Promise<void> {
  const { stateFolder, signal, log } = after;
  const endMs = system.monotonicMs() + RECORD_WITHIN_MS;
  for (;;) {
    // Also the first time: the boot that waited for the key has better things to do.
    await system.sleep(RECORD_AGAIN_MS, signal);
    if (signal.aborted) return;
    try {
      await makeStateFolder(system, stateFolder);
      const verdict = await recordUse(system, stateFolder, use);
      if (verdict.kind === "first-use") log("info", `on record from now on, as it was opened for the first time`);
      if (verdict.kind !== "other") return;
      const refusal = refusalOf(verdict, device, "first-use");
      log("warning", `its record could not be read before its key was sent: ${refusal?.message}. ${refusal?.remedy}`);
      return await tellServers(system, verdict.record, after);
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      const isLast = system.monotonicMs() + RECORD_AGAIN_MS > endMs || isError(error, "machine/bad-state");
      if (isLast) log("warning", `could not be put on record: ${error.message}; its next use is the first again`);
      if (isLast) return;
    }
  }
}

/**
 * Makes the state folder; not where its parent is missing too, for something is to be mounted
 * there, which would hide it.
 */
async function makeStateFolder(system: AftermathPower, stateFolder: string): Promise<void> {
  if ((await system.stat(stateFolder)) !== null) return;
  if ((await system.stat(dirname(stateFolder))) !== null) await system.makeDirectory(stateFolder, 0o700);
}

/**
 * Asks the servers of a volume to prove that its release is in their logs, which is how a log that
 * was rewritten or put back shows: docs/format/receipt.md. Says what comes of it, and ends.
 */
export async function proveRelease(
  system: AftermathPower,
  uuid: string,
  after: Aftermath & { /** Who must have signed their logs. */ readonly witness: WitnessConfig | null },
): Promise<void> {
  const { stateFolder, signal, log } = after;
  const endMs = system.monotonicMs() + RECORD_WITHIN_MS;
  for (;;) {
    await system.sleep(RECORD_AGAIN_MS, signal);
    if (signal.aborted) return;
    try {
      const record = await readVolumeRecord(system, stateFolder, uuid);
      if (record === null || record.latches.length === 0) return;
      const { askAll } = await import("./receipts.ts");
      return await askAll(system, record, { ...after, timeoutMs: ATTEMPT_MS });
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      // At boot the folder cannot be written yet.
      if (error.code.startsWith("file/") && system.monotonicMs() + RECORD_AGAIN_MS <= endMs) continue;
      return log("warning", `its release could not be proved: ${error.message}; ${stateFolder} is as it was`);
    }
  }
}

/**
 * Tells every server of a volume that another one was found in its place. It ends when each has
 * confirmed it, or when the time is over.
 */
export async function tellServers(system: AftermathPower, record: VolumeRecord, after: Aftermath): Promise<void> {
  const { stateFolder, log } = after;
  try {
    const { serversToTell } = await import("../pins/latch/report.ts");
    const servers = await serversToTell(system, stateFolder, record.latches);
    if (servers.length === 0) log("info", "no server is told: this machine is enrolled at none");
    await Promise.all(servers.map((server) => tellServer(system, server, record, after)));
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    log("warning", `no server could be told: ${error.message}`);
  }
}

async function tellServer(
  system: AftermathPower,
  server: Parameters<typeof import("../pins/latch/report.ts").sendReport>[2],
  { volume }: VolumeRecord,
  { stateFolder, signal, log }: Aftermath,
): Promise<void> {
  const { sendReport } = await import("../pins/latch/report.ts");
  const { host } = new URL(server.url);
  const endMs = system.monotonicMs() + TELL_WITHIN_MS;
  for (let attempt = 0; ; attempt++) {
    try {
      const limits = { timeoutMs: Math.min(ATTEMPT_MS, Math.max(1, Math.ceil(endMs - system.monotonicMs()))), signal };
      await sendReport(system, stateFolder, server, { volume, reason: "volume/other" }, limits);
      return log("info", `${host} has been told, and has confirmed it`);
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      const pauseMs = delayAfterMs(attempt, system.random(4).readUInt32LE() / 2 ** 32);
      if (signal.aborted || system.monotonicMs() + pauseMs >= endMs) {
        return log("warning", `${host} could not be told: ${error.message}`);
      }
      await system.sleep(pauseMs, signal);
    }
  }
}
