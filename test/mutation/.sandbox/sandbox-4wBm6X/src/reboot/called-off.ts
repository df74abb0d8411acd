// @ts-nocheck
import { isGoingDown } from "../host/shutdown.ts";
import { askSystemd, orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";
import { restartExpiry } from "./clean-up-units.ts";
import { resumeDefault } from "./default-handler.ts";

/**
 * Every shutdown starts this timer, which outlives one that is called off, as nothing else of ours
 * does. Its service takes back what was staged once no shutdown is under way
 * (packaging/systemd/nightlatch-called-off.timer).
 */
const TIMER = "nightlatch-called-off.timer";
const SERVICE = "nightlatch-called-off.service";
/** A clean-up has several runs of cryptsetup to end. */
const CLEAN_UP_MS = 5 * 60_000;

/**
 * After a shutdown that was called off the default handler waits again, and the timer stops.
 * @param isLeft something could not be removed: the timer of what expires, which the shutdown has
 * stopped, tries it again
 */
export async function endCalledOff(system: Pick<System, "run">, isLeft: boolean): Promise<void> {
  await resumeDefault(system);
  if (isLeft) await restartExpiry(system);
  await orderSystemd(system, ["systemctl", "stop", TIMER]);
}

/**
 * Ends what a shutdown has left behind that was called off a moment ago: it does not clean up what
 * is staged from now on. A clean-up that it began ends first.
 * @throws NightlatchError reboot/blocked
 */
export async function settleCalledOff(system: Pick<System, "run">): Promise<void> {
  const { status } = await askSystemd(system, ["systemctl", "is-active", "--quiet", TIMER]);
  // One that is still under way needs its timer.
  if (status !== 0 || (await isGoingDown(system))) return;
  await endCalledOff(system, false); // staging begins with a clean-up, and starts that timer itself
  await orderSystemd(system, ["systemctl", "stop", SERVICE], { timeoutMs: CLEAN_UP_MS });
}
