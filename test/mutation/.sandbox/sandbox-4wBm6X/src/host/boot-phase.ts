// @ts-nocheck
import type { System } from "../system/port.ts";
import { askSystemd } from "./systemd.ts";

/** How long the machine is up, suspended times included, and when its own systemd began. */
interface BootPhase {
  readonly upMs: number;
  /** When the initramfs had handed over to the system, on the same clock. */
  readonly handedOverMs: number;
}

/**
 * Says when this boot's initramfs was over; null where that cannot be told, as after a soft reboot,
 * which begins the system anew without an initramfs (systemd(1), `UserspaceTimestamp`).
 */
export async function readBootPhase(system: Pick<System, "readFile" | "run">): Promise<BootPhase | null> {
  const properties = ["--property=UserspaceTimestampMonotonic", "--property=SoftRebootsCount"];
  const { status, stdout } = await askSystemd(system, ["systemctl", "show", ...properties]);
  const text = stdout.toString("latin1");
  const micros = /^UserspaceTimestampMonotonic=(\d{1,15})$/m.exec(text)?.[1];
  const softReboots = /^SoftRebootsCount=(\d+)$/m.exec(text)?.[1] ?? "0";
  const upMs = await readUpMs(system);
  if (status !== 0 || micros === undefined || softReboots !== "0" || upMs === null) return null;
  return { upMs, handedOverMs: Number(micros) / 1000 };
}

/**
 * Whether something happened before the initramfs had handed over, of which somebody else says how
 * long ago it was. They said so between two moments, so it has to fit for both.
 * @param phase as it was when they were asked
 * @param answeredAtMs how long the machine was up when they had answered
 */
export function wasInInitramfs({ upMs, handedOverMs }: BootPhase, answeredAtMs: number, agoMs: number): boolean {
  return upMs - agoMs > 0 && answeredAtMs - agoMs <= handedOverMs;
}

/**
 * How long the machine is up, suspended times included (proc_uptime(5)); null where it is unknown.
 */
export async function readUpMs(system: Pick<System, "readFile">): Promise<number | null> {
  const text = (await system.readFile("/proc/uptime", 128)).toString("latin1");
  const seconds = /^(\d+\.\d+) /.exec(text)?.[1];
  return seconds === undefined ? null : Number(seconds) * 1000;
}
