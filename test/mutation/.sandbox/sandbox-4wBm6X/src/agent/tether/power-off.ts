// @ts-nocheck
import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

const SYSTEMD_MS = 10_000;
const KERNEL_MS = 5_000;

/**
 * Switches the machine off at once. Nothing is stopped and nothing unmounted: what is stopped in
 * order takes as long as its slowest part, and waits for ever for a disk that stands still. First
 * systemd's program asks the kernel, which writes what is still to be written; where that hangs, or
 * is missing, the kernel is asked without.
 * @returns only where both have failed, with why
 */
export async function powerOff(system: Pick<System, "run" | "sleep">): Promise<string[]> {
  const failures: string[] = [];
  const orders = [
    { argv: ["systemctl", "poweroff", "--force", "--force"], timeoutMs: SYSTEMD_MS },
    { argv: ["tee", "/proc/sysrq-trigger"], stdin: Buffer.from("o"), timeoutMs: KERNEL_MS },
  ] as const;
  for (const order of orders) {
    try {
      const { status } = await system.run(order);
      failures.push(`${order.argv[0]} ended with status ${status}`);
      if (status === 0) await system.sleep(KERNEL_MS); // the kernel is at it
    } catch (error) {
      if (!isError(error)) throw error;
      failures.push(error.message);
    }
  }
  return failures;
}
