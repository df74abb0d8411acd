import { orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";

/**
 * An orderly shutdown into the loaded kernel. Returns when it is under way.
 * @throws NightlatchError reboot/blocked
 */
export async function startKexec(power: Pick<System, "run">): Promise<void> {
  await order(power, ["systemctl", "kexec"]);
}

/** An orderly shutdown, and then the firmware, as ever. @throws NightlatchError reboot/blocked */
export async function startOrdinaryReboot(power: Pick<System, "run">): Promise<void> {
  await order(power, ["systemctl", "reboot"]);
}

/** Into the same kernel, with user space begun anew. @throws NightlatchError reboot/blocked */
export async function startSoftReboot(power: Pick<System, "run">): Promise<void> {
  await order(power, ["systemctl", "soft-reboot"]);
}

function order(power: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<void> {
  return orderSystemd(power, argv, { meaning: "The machine does not reboot." });
}
