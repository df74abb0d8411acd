import type { System } from "../system/port.ts";
import { askSystemd } from "./systemd.ts";

type Power = Pick<System, "run">;

/**
 * Units of systemd.special(7) by which the system goes down; each stays queued until the last
 * moment.
 */
const WAYS_DOWN = /^\s*\d+\s+(?:reboot|kexec|poweroff|halt|exit|soft-reboot)\.target\s+start\s/m;

/**
 * Whether the shutdown that is under way is a reboot, and neither a power-off nor a kexec that was
 * staged before.
 * @throws NightlatchError system/*
 */
export async function isRebooting(system: Power): Promise<boolean> {
  return /^\s*\d+\s+reboot\.target\s+start\s/m.test((await listJobs(system)).text);
}

/**
 * Whether the system is going down. A systemd that does not answer is at its end, or is not there,
 * so that counts as yes.
 * @throws NightlatchError system/*
 */
export async function isGoingDown(system: Power): Promise<boolean> {
  const { ok, text } = await listJobs(system);
  return !ok || WAYS_DOWN.test(text);
}

async function listJobs(system: Power): Promise<{ readonly ok: boolean; readonly text: string }> {
  const { status, stdout } = await askSystemd(system, ["systemctl", "list-jobs", "--no-legend", "--plain"]);
  return { ok: status === 0, text: stdout.toString("latin1") };
}
