import { isError, type NightlatchError } from "../../core/errors.ts";
import type { TetherConfig } from "../../formats/own/agent-config.ts";
import { buildTrip, parsePause, parseTrip, TETHER_FILE_BYTES, type Trip } from "../../formats/own/tether.ts";
import { readHeard } from "../../host/heard-servers.ts";
import { isSuspended, type LuksMapping } from "../../host/luks-mappings.ts";
import { suspendMapping, whyKeyMayBeThere } from "../../luks/cryptsetup/suspend.ts";
import type { System } from "../../system/port.ts";
import { decideTether, listeningSince, settleTime, type TetherVerdict } from "./decide.ts";
import { powerOff } from "./power-off.ts";
import { type FindPower, findTetherVolumes, type TetherVolumes, volumesSignature } from "./volumes.ts";

/** What it takes to watch, and to act. */
export type TetherPower = FindPower & Pick<System, "sleep" | "upMs" | "readFileIfPresent" | "writeFile">;

/** What the tether goes by, and where. */
interface TetherOptions {
  readonly tether: TetherConfig;
  /** The sender's longest pause between two heartbeats. */
  readonly intervalMs: number;
  /** What the sender keeps: `heard.json`. */
  readonly heard: string;
  /** Folder of what the tether itself keeps: `trip.json`, and `pause.json` by root's word. */
  readonly folder: string;
  /** Takes a level of the journal, and a text. */
  readonly log: (level: "info" | "alert", text: string) => void;
}

/** How often it looks. */
const LOOK_MS = 500;
/** How often it looks which volumes there are. */
const VOLUMES_MS = 5_000;
const FILE_MODE = 0o600;

/** What was found last, and what it follows from. */
interface Plan {
  signature: string;
  volumes: TetherVolumes | null;
  told: string;
  /** It is being found anew now. */
  renewing: Promise<void> | null;
}

/**
 * Watches until the signal aborts. Once the tether is tripped the volumes stand still, or the
 * machine goes off.
 * @throws NightlatchError where the folder's files cannot be read: file/*
 */
export async function watchTether(system: TetherPower, options: TetherOptions, signal: AbortSignal): Promise<void> {
  const { afterMs } = options.tether;
  const rule = { afterMs, settleMs: settleTime(options.intervalMs, afterMs) };
  const plan: Plan = { signature: "", volumes: null, told: "", renewing: null };
  let trip = await readTrip(system, options.folder);
  let [listeningSinceMs, lookedMs] = [system.upMs(), system.upMs()];
  let volumesMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const nowMs = system.upMs();
    listeningSinceMs = listeningSince(listeningSinceMs, lookedMs, nowMs);
    lookedMs = nowMs;
    const servers = await readHeard(system, options.heard);
    const pausedUntilMs = await readPause(system, options.folder);
    const verdict = decideTether(rule, { nowMs, servers, listeningSinceMs, pausedUntilMs, trip });
    if (verdict.kind !== "holds") {
      trip = (await pull(system, options, plan, verdict)) ?? trip;
      lookedMs = system.upMs(); // that it took its time is no sign of having been held up
    } else if (nowMs - volumesMs >= VOLUMES_MS) {
      volumesMs = nowMs;
      await renewInTime(system, options, plan);
    }
    await system.sleep(LOOK_MS, signal);
  }
}

/**
 * Acts, and keeps what was done. Null where the machine should be off and is not: it is tried again
 * with the next look.
 */
async function pull(
  system: TetherPower,
  options: TetherOptions,
  plan: Plan,
  verdict: Exclude<TetherVerdict, { kind: "holds" }>,
): Promise<Trip | null> {
  const { log, tether, folder } = options;
  const isToGoOff = tether.action === "power-off";
  log("alert", `${reasonOf(verdict)}: ${isToGoOff ? "switching off" : "suspending"}`);
  if (isToGoOff) await switchOff(system, log); // where that fails, suspending is better than nothing
  await renewInTime(system, options, plan);
  if (plan.volumes === null) {
    log("alert", "what is open cannot be found out: switching off");
    await switchOff(system, log);
    return null;
  }
  const { data } = plan.volumes;
  const failures = (await Promise.all(data.map((mapping) => suspend(system, mapping)))).filter((why) => why !== null);
  if (failures.length > 0) {
    for (const why of failures) log("alert", `${why}: switching off`);
    await switchOff(system, log);
    return null;
  }
  const suspended = data.map(({ name }) => name);
  log("alert", outcomeOf(suspended));
  if (isToGoOff) return null;
  const trip: Trip = { atMs: system.upMs(), cause: verdict.kind, suspended };
  await keepTrip(system, folder, trip, log);
  return trip;
}

/** Why a volume is not proved to be closed; null where it is. */
async function suspend(system: TetherPower, mapping: LuksMapping): Promise<string | null> {
  try {
    if (!(await isSuspended(system, mapping))) await suspendMapping(system, mapping.name);
    if (!(await isSuspended(system, mapping))) return `${mapping.name} does not stand still`;
    const why = await whyKeyMayBeThere(system, mapping);
    return why === null ? null : `${mapping.name}: ${why}`;
  } catch (error) {
    if (isError(error)) return `${mapping.name}: ${error.message} [${error.code}]`;
    throw error;
  }
}

/** Returns only where that failed. */
async function switchOff(system: TetherPower, log: TetherOptions["log"]): Promise<void> {
  const failures = await powerOff(system);
  log("alert", `the machine could not be switched off: ${failures.join("; ")}`);
}

/** A disk that never answers must not keep a lock from being heard. */
async function renewInTime(system: TetherPower, options: TetherOptions, plan: Plan): Promise<void> {
  const given = new AbortController();
  plan.renewing ??= renew(system, options, plan).finally(() => {
    plan.renewing = null;
  });
  await Promise.race([plan.renewing, system.sleep(VOLUMES_MS, given.signal)]);
  given.abort();
}

/**
 * Finds the volumes anew where something has changed; what was found before stands where that
 * fails.
 */
async function renew(system: TetherPower, { tether, log }: TetherOptions, plan: Plan): Promise<void> {
  try {
    const signature = await volumesSignature(system);
    if (signature === plan.signature) return;
    plan.volumes = await findTetherVolumes(system, tether.volumes);
    plan.signature = signature;
    const names = plan.volumes.data.map(({ name }) => name);
    tell(plan, log, names.length === 0 ? "no volume is open that it suspends" : `holds ${names.join(", ")}`);
  } catch (error) {
    if (!isError(error)) throw error;
    tell(plan, log, `cannot tell which volumes are open: ${tellError(error)}`);
  }
}

function tell(plan: Plan, log: TetherOptions["log"], text: string): void {
  if (plan.told !== text) log("info", text);
  plan.told = text;
}

const tellError = ({ message, code }: NightlatchError): string => `${message} [${code}]`;

function reasonOf(verdict: Exclude<TetherVerdict, { kind: "holds" }>): string {
  if (verdict.kind === "locked") return `${new URL(verdict.url).host} has locked this machine`;
  return `no server has answered for ${Math.floor(verdict.silentMs / 1000)} s`;
}

function outcomeOf(names: readonly string[]): string {
  if (names.length === 0) return "no volume is open that could be suspended";
  const steps = names.map((name) => `cryptsetup luksResume ${name}`).join(", ");
  return `suspended ${names.join(", ")}, and the kernel has no key of them any more. By a passphrase: ${steps}`;
}

async function keepTrip(system: TetherPower, folder: string, trip: Trip, log: TetherOptions["log"]): Promise<void> {
  try {
    await system.writeFile(`${folder}/trip.json`, buildTrip(trip), FILE_MODE);
  } catch (error) {
    if (!isError(error)) throw error;
    log("info", `what was done could not be noted: ${tellError(error)}`);
  }
}

/**
 * What the tether did last since the machine was started; null where it did nothing.
 * @throws NightlatchError file/*
 */
export async function readTrip(system: Pick<System, "readFileIfPresent">, folder: string): Promise<Trip | null> {
  const bytes = await system.readFileIfPresent(`${folder}/trip.json`, TETHER_FILE_BYTES);
  return bytes === null ? null : parseTrip(bytes);
}

/** Until when silence trips nothing; null where that was not said. */
async function readPause(system: Pick<System, "readFileIfPresent">, folder: string): Promise<number | null> {
  const bytes = await system.readFileIfPresent(`${folder}/pause.json`, TETHER_FILE_BYTES);
  return bytes === null ? null : parsePause(bytes);
}
