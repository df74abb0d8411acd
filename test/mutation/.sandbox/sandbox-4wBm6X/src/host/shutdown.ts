// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { isError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json/json.ts";
import type { Exit, System } from "../system/port.ts";
import { askSystemd } from "./systemd.ts";

type Power = Pick<System, "run">;

/**
 * Units of systemd.special(7) by which the system goes down; each stays queued until the last
 * moment.
 */
const WAYS_DOWN = /^\s*\d+\s+(?:reboot|kexec|poweroff|halt|exit|soft-reboot)\.target\s+start\s/m;

/**
 * Whether the shutdown that is under way is a reboot, not a power-off and not a kexec that was
 * staged before.
 */
export async function isRebooting(system: Power): Promise<boolean> {
  return /^\s*\d+\s+reboot\.target\s+start\s/m.test((await listJobs(system)).text);
}

/**
 * Whether the system is going down. A systemd that does not answer is at its end, or is not there:
 * nothing is called off by that.
 */
export async function isGoingDown(system: Power): Promise<boolean> {
  const { ok, text } = await listJobs(system);
  return !ok || WAYS_DOWN.test(text);
}

/** Whether systemd says that the system is going down; one that does not answer says nothing. */
export async function isSaidToGoDown(system: Power): Promise<boolean> {
  return WAYS_DOWN.test((await listJobs(system)).text);
}

async function listJobs(system: Power): Promise<{ readonly ok: boolean; readonly text: string }> {
  const { status, stdout } = await askSystemd(system, ["systemctl", "list-jobs", "--no-legend", "--plain"]);
  return { ok: status === 0, text: stdout.toString("latin1") };
}

/** Who keeps a shutdown from beginning, in words of their own choice. */
interface ShutdownBlocker {
  readonly who: string;
  readonly why: string;
  readonly pid: string;
}

const LIMIT_BYTES = 1 << 20;

/**
 * Who blocks shutdowns by an inhibitor lock (systemd-inhibit(1)). Where there is no logind nobody
 * can hold one.
 * @throws NightlatchError json/*, where logind answers with something else
 */
export async function listShutdownBlockers(system: Power): Promise<ShutdownBlocker[]> {
  const manager = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"] as const;
  const argv = ["busctl", "--json=short", "call", ...manager, "ListInhibitors"] as const;
  const stdout = await outputOrNone(() =>
    system.run({ argv, timeoutMs: SMALL_PROGRAM_MS, outputLimitBytes: LIMIT_BYTES }),
  );
  if (stdout === null) return [];
  const reply = parseJson(stdout, "logind's answer", { lengthBytes: LIMIT_BYTES });
  const data = typeof reply === "object" && reply !== null && !Array.isArray(reply) ? reply["data"] : null;
  const locks = Array.isArray(data) && Array.isArray(data[0]) ? data[0] : [];
  return locks.flatMap(blockerOf);
}

async function outputOrNone(run: () => Promise<Exit>): Promise<Buffer | null> {
  try {
    const { status, stdout } = await run();
    return status === 0 ? stdout : null;
  } catch (error) {
    if (isError(error, "system/missing-program")) return null;
    throw error;
  }
}

/** A lock is what it holds up, who, why, how, UID, PID (org.freedesktop.login1(5)). */
function blockerOf(lock: Json): ShutdownBlocker[] {
  if (!Array.isArray(lock)) return [];
  const [what, who, why, mode, , pid] = lock;
  if (mode !== "block" || !String(what).split(":").includes("shutdown")) return [];
  return [{ who: String(who), why: String(why), pid: String(pid) }];
}
