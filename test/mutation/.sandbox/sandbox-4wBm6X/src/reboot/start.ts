// @ts-nocheck
import { orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";

/**
 * An orderly shutdown into the loaded kernel. Returns when it is under way.
 * @throws NightlatchError reboot/blocked
 */
export async function startKexec(system: Pick<System, "run">): Promise<void> {
  await order(system, ["systemctl", "kexec"]);
}

/** An orderly shutdown, and then the firmware, as ever. @throws NightlatchError reboot/blocked */
export async function startOrdinaryReboot(system: Pick<System, "run">): Promise<void> {
  await order(system, ["systemctl", "reboot"]);
}

/** Into the same kernel, with user space begun anew. @throws NightlatchError reboot/blocked */
export async function startSoftReboot(system: Pick<System, "run">): Promise<void> {
  await order(system, ["systemctl", "soft-reboot"]);
}

function order(system: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<void> {
  return orderSystemd(system, argv, { meaning: "The machine does not reboot." });
}
